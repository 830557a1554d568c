import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSpendLedger, type SpendLimit, windowEndMs, windowStartMs } from './spend-ledger.ts';

const entry = (amountUsd: number, key = 'owner', cloud = true) => ({ requestId: 'req', key, upstream: 'sky', model: 'm', cloud, amountUsd });
const day = (capUsd: number): SpendLimit => ({ scope: 'cloud', window: 'day', capUsd });
const NOON = Date.UTC(2026, 11, 31, 12);

describe('the ledger of what was spent', () => {
  it('takes reservations up to the cap and no further, and real costs in their place, once', () => {
    const ledger = openSpendLedger(null);
    const first = ledger.reserve(entry(0.4), [day(1)], NOON) as { id: number };
    expect(ledger.reserve(entry(0.6), [day(1)], NOON)).toHaveProperty('id');
    expect(ledger.reserve(entry(0.000000001), [day(1)], NOON)).toEqual({ refused: day(1) });
    expect(ledger.settle(first.id, 0.1, null)).toBeCloseTo(-0.3, 9);
    expect(ledger.settle(first.id, 5, null)).toBe(null);
    expect(ledger.spentUsd('cloud', 'day', NOON)).toBeCloseTo(0.7, 9);
    expect(ledger.reserve(entry(0.3), [day(1)], NOON)).toHaveProperty('id');
    ledger.close();
  });

  it('counts a key, and what is no cloud, apart; windows end with the hour, the day and the month of UTC', () => {
    const ledger = openSpendLedger(null);
    ledger.reserve(entry(2, 'alice', false), [], NOON);
    expect(ledger.spentUsd('cloud', 'month', NOON)).toBe(0);
    expect(ledger.spentUsd({ key: 'alice' }, 'hour', NOON)).toBe(2);
    expect(ledger.spentUsd({ key: 'bob' }, 'hour', NOON)).toBe(0);
    expect(ledger.spentUsd({ key: 'alice' }, 'hour', NOON + 3_600_000)).toBe(0);
    expect(ledger.spentUsd({ key: 'alice' }, 'day', NOON + 3_600_000)).toBe(2);
    expect(ledger.spentUsd({ key: 'alice' }, 'month', Date.UTC(2027, 0, 1))).toBe(0);
    for (const window of ['hour', 'day', 'month'] as const) {
      expect(windowStartMs(window, windowEndMs(window, NOON))).toBe(windowEndMs(window, NOON));
      expect(windowStartMs(window, windowEndMs(window, NOON) - 1)).toBe(windowStartMs(window, NOON));
    }
  });

  it('is a private file, and what a process that died had set aside stays spent', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'hearth-spend-'));
    const path = join(directory, 'spend.sqlite');
    const first = openSpendLedger(path);
    first.reserve(entry(0.5), [day(1)], NOON);
    const second = openSpendLedger(path);
    expect(second.reserve(entry(0.6), [day(1)], NOON)).toHaveProperty('refused');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    first.close();
    second.close();
    const third = openSpendLedger(path);
    expect(third.spentUsd('cloud', 'day', NOON)).toBe(0.5);
    third.close();
    await rm(directory, { recursive: true });
  });

  it('never passes a cap over 2,000 random reservations and costs below them', () => {
    const ledger = openSpendLedger(null);
    let state = 7;
    const random = () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) / 2 ** 24;
    };
    const open: { id: number; amount: number }[] = [];
    for (let round = 0; round < 2000; round += 1) {
      const amount = random() * 0.1;
      const made = ledger.reserve(entry(amount), [day(1)], NOON);
      if ('id' in made) open.push({ id: made.id, amount });
      if (random() < 0.5 && open.length > 0) {
        const [done] = open.splice(Math.floor(random() * open.length), 1);
        ledger.settle(done!.id, done!.amount * random() * 0.2, null);
      }
      expect(ledger.spentUsd('cloud', 'day', NOON)).toBeLessThanOrEqual(1);
    }
    expect(ledger.spentUsd('cloud', 'day', NOON)).toBeGreaterThan(0.9);
    ledger.close();
  });
});
