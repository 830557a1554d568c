// Loaded before a program: SIGUSR2 prints how late its event loop was since the last one, and its memory, as one line.

import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Between two looks; each is told with it. */
const LOOK_MS = 5;
const delay = monitorEventLoopDelay({ resolution: LOOK_MS });
delay.enable();
process.on('SIGUSR2', () => {
  const late = (share: number) => Math.max(0, delay.percentile(share) / 1e6 - LOOK_MS);
  process.stdout.write(`${JSON.stringify({ residentMib: process.memoryUsage.rss() / 2 ** 20, lagP50Ms: late(50), lagP99Ms: late(99) })}\n`);
  delay.reset();
});
