import { describe, expect, test } from 'vitest';
import { planEviction, type Resident } from './plan-eviction.ts';

const resident = (key: string, bytes: number, lastUsedMs: number, more: Partial<Resident> = {}): Resident => ({
  key,
  bytes,
  lastUsedMs,
  pinned: false,
  idle: true,
  ...more,
});

describe('planEviction', () => {
  test('takes nothing when it fits, and the least recently used first when it does not', () => {
    const residents = [resident('new', 10, 3), resident('old', 10, 1), resident('middle', 10, 2)];
    expect(planEviction({ neededBytes: 5, freeBytes: 5, residents })).toEqual([]);
    expect(planEviction({ neededBytes: 15, freeBytes: 5, residents })).toEqual(['old']);
    expect(planEviction({ neededBytes: 25, freeBytes: 5, residents })?.toSorted()).toEqual(['middle', 'old']);
  });

  test('never takes pinned or busy models, and says null when the rest is not enough', () => {
    const residents = [resident('pinned', 100, 1, { pinned: true }), resident('busy', 100, 2, { idle: false }), resident('idle', 10, 3)];
    expect(planEviction({ neededBytes: 10, freeBytes: 0, residents })).toEqual(['idle']);
    expect(planEviction({ neededBytes: 11, freeBytes: 0, residents })).toBeNull();
  });

  test('gives a victim back that a later, larger one makes unneeded', () => {
    const residents = [resident('small', 1, 1), resident('large', 10, 2)];
    expect(planEviction({ neededBytes: 10, freeBytes: 0, residents })).toEqual(['large']);
  });
});
