import { expect, it } from 'vitest';
import { soakMock } from '../../bench/soak/mock-soak.ts';

const LONG = process.env['HEARTH_SOAK'] === '1';

it('thousands of requests, with clients that leave and bodies that are broken, end as they should and leave nothing behind', async () => {
  const report = await soakMock({ requests: 3_000, warmUp: 1_500, clients: 16, skipMsPerRequest: 28_800 });
  expect(report).toMatchObject({ requests: 3_000, unhandledRejections: 0, stillRunning: 0 });
  expect(report.outcomes).toEqual({
    'json: 200': 1_500,
    'stream: 200': 1_200,
    'leave-early: left': 120,
    'leave-at-once: left': 30,
    'cut-body: left': 30,
    'unknown-model: 404': 60,
    'broken-body: 400': 60,
  });
  // A day has gone by on the product's clock.
  expect(report.clockHours).toBeGreaterThan(23.9);
}, 120_000);

it.skipIf(!LONG)(
  '[serving V46] 1,000,000 requests leave no unhandled rejection and the process alive (nightly: takes an hour; HEARTH_SOAK=1 runs it)',
  async () => {
    const report = await soakMock({ requests: 1_000_000, warmUp: 10_000, clients: 16, skipMsPerRequest: 86.4 });
    expect(report).toMatchObject({ requests: 1_000_000, unhandledRejections: 0, stillRunning: 0 });
    expect(report.residentRatio).toBeLessThan(1.05);
  },
  7_200_000,
);
