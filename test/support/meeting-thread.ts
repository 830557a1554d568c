/* A thread that meets others as the compute threads do, and tells how much of a core its waits took. */
import { parentPort, workerData } from 'node:worker_threads';
import { createMeeting } from '../../src/ember/ranks/exchange.ts';

const { control, ranks, lateMs, meetings } = workerData as { control: SharedArrayBuffer; ranks: number; lateMs: number; meetings: number };
const meeting = createMeeting(new Int32Array(control), ranks);
const sleep = new Int32Array(new SharedArrayBuffer(4));
// Together first: what starting costs is not measured.
meeting.enter();
meeting.barrier();
const startedAt = performance.now();
const before = process.threadCpuUsage();
for (let i = 0; i < meetings; i++) {
  if (lateMs > 0) Atomics.wait(sleep, 0, 0, lateMs);
  meeting.barrier();
}
const { user, system } = process.threadCpuUsage(before);
meeting.leave();
parentPort!.postMessage({ cpuMs: (user + system) / 1_000, wallMs: performance.now() - startedAt });
