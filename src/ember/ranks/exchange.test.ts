import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { createExchangeBuffers } from './exchange.ts';

const PROGRAM = join(import.meta.dirname, '../../../test/support/meeting-thread.ts');

test('a rank that waits for one whose core is taken sleeps: it leaves its own core to whoever has work', async () => {
  const { control } = createExchangeBuffers({ ranks: 3, sumFloats: 1, stepWords: 1, resultWords: 1, scoreWords: 1, maskWords: 1 });
  const meet = (lateMs: number) =>
    new Promise<{ cpuMs: number; wallMs: number }>((resolve, reject) => {
      const worker = new Worker(PROGRAM, { workerData: { control, ranks: 3, lateMs, meetings: 20 } });
      worker.once('message', resolve).once('error', reject);
    });
  // One is 30 ms late each time, as if another process had its core for a time slice or two.
  const found = await Promise.all([meet(0), meet(0), meet(30)]);
  for (const { cpuMs, wallMs } of found) {
    expect(wallMs).toBeGreaterThan(0);
    expect(cpuMs / wallMs).toBeLessThan(0.3);
  }
});
