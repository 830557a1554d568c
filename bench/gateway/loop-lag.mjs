// Loaded before a program: SIGUSR2 begins to watch how late its event loop is; the next one prints that, and its memory, as one line, and stops.

import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Between two looks; each is told with it. */
const LOOK_MS = 5;
let delay = null;
process.on('SIGUSR2', () => {
  const late = (share) => Math.max(0, (delay?.percentile(share) ?? 0) / 1e6 - LOOK_MS);
  process.stdout.write(`${JSON.stringify({ residentMib: process.memoryUsage.rss() / 2 ** 20, lagP50Ms: late(50), lagP99Ms: late(99) })}\n`);
  delay?.disable();
  delay = delay === null ? monitorEventLoopDelay({ resolution: LOOK_MS }) : null;
  delay?.enable();
});
