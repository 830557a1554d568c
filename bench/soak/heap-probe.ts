// Loaded before a daemon that runs with --expose-gc: SIGUSR2 collects its garbage and prints what lives, as one line.

process.on('SIGUSR2', () => {
  (globalThis as { gc?: () => void }).gc?.();
  process.stdout.write(`${JSON.stringify({ liveMib: process.memoryUsage().heapUsed / 2 ** 20 })}\n`);
});
