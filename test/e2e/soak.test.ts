import { expect, it } from 'vitest';
import { keepsBounds, soakFaults } from '../../bench/soak/fault-soak.ts';
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

it.skipIf(process.platform !== 'linux')(
  `a real daemon with clients that leave, cut and break their requests, and with a killed engine, holds no more at the end (reads /proc: Linux)`,
  async () => {
    const report = await soakFaults(0.5);
    expect(report.requests).toBeGreaterThan(20);
    expect(Object.keys(report.faults)).toEqual(expect.arrayContaining(['answer: 200', 'leave: cut', 'broken: 400', 'unknown: 404', 'engine killed']));
    expect(report.last.temporaries).toBe(0);
    expect(report.last.processes).toBeLessThanOrEqual(report.first.processes);
    expect(report.last.descriptors).toBeLessThanOrEqual(report.first.descriptors + 8);
  },
  180_000,
);

it.skipIf(!LONG)(
  '[security G50] two hours with injected faults: no growth of descriptors, memory, processes, temporary files (nightly; HEARTH_SOAK=1 runs it)',
  async () => {
    expect(keepsBounds(await soakFaults(120))).toBe(true);
  },
  8_000_000,
);
