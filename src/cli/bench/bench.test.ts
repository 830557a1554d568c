import { expect, test } from 'vitest';
import { classOf } from './bench-target.ts';
import { qualityFlags } from './machine-facts.ts';
import { summarise } from './monitor.ts';
import { deviation, median } from './statistics.ts';

test('a speed is PASS to 15 % below the catalog, WARN to 30 %, FAIL beyond', () => {
  expect([120, 100, 85, 84, 70, 69].map((speed) => classOf(speed, 100))).toEqual(['PASS', 'PASS', 'PASS', 'WARN', 'WARN', 'FAIL']);
});

test('[store K116] flags tell what spoils a measurement, and clean stands alone', () => {
  const calm = { swapMb: 100, freeGb: 5, leftOver: 0 };
  expect(qualityFlags(calm)).toEqual(['clean']);
  expect(qualityFlags({ ...calm, swapMb: 101 })).toEqual(['degraded_swap']);
  expect(qualityFlags({ swapMb: 500, freeGb: 4.9, leftOver: 2 })).toEqual(['degraded_swap', 'degraded_memory', 'degraded_zombies']);
});

test('spread is that of a sample, and the middle of an even number lies between two', () => {
  expect(deviation([2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(2.138, 3);
  expect(deviation([3])).toBe(0);
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
});

test('the summary of a monitor leaves out what no sample has', () => {
  const samples = [
    { ts: 1, elapsed_s: 0, ram_free_gb: 4, cpu_user: 10 },
    { ts: 2, elapsed_s: 1, ram_free_gb: 2, cpu_user: 30 },
  ];
  const { timestamp: _, ...summary } = summarise(samples, 1, 1000);
  expect(summary).toEqual({ duration_s: 1, samples: 2, interval_ms: 1000, ram_free_min_gb: 2, ram_free_max_gb: 4, ram_free_avg_gb: 3, cpu_user_max: 30 });
});
