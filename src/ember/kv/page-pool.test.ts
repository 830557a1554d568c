import { describe, expect, it } from 'vitest';
import { createPagePool } from './page-pool.ts';

describe('createPagePool', () => {
  it('gives out each page once, and all of them', () => {
    const pool = createPagePool(10);
    const pages = [...pool.allocate(4)!, ...pool.allocate(6)!];
    expect(pages.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(pool.free).toBe(0);
    expect(pool.allocate(1)).toBeNull();
  });

  it('changes nothing when too few pages are free', () => {
    const pool = createPagePool(3);
    expect(pool.allocate(4)).toBeNull();
    expect(pool.free).toBe(3);
  });

  it('frees a shared page with its last user', () => {
    const pool = createPagePool(2);
    const [page] = pool.allocate(1)!;
    pool.retain([page!]);
    pool.release([page!]);
    expect([pool.free, pool.references(page!)]).toEqual([1, 1]);
    pool.release([page!]);
    expect([pool.free, pool.references(page!)]).toEqual([2, 0]);
  });

  it('refuses to release or share a page that nobody uses', () => {
    const pool = createPagePool(2);
    expect(() => pool.release([0])).toThrow(RangeError);
    expect(() => pool.retain([7])).toThrow(RangeError);
  });
});
