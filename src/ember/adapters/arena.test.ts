import { describe, expect, it } from 'vitest';
import { createArena } from './arena.ts';

describe('createArena', () => {
  it('gives aligned blocks behind the start, reuses freed ones of enough room, and counts what is used', () => {
    const arena = createArena(1000);
    const [a, b, c] = [arena.take(100), arena.take(64), arena.take(10)];
    expect([a, b, c]).toEqual([1024, 1152, 1216]);
    expect(arena.usedBytes).toBe(128 + 64 + 64);
    arena.free(b);
    expect(arena.take(65)).toBe(1280);
    expect(arena.take(64)).toBe(1152);
    arena.free(a);
    expect([arena.take(64), arena.take(64), arena.take(64)]).toEqual([1024, 1088, 1408]);
    arena.free(7);
    expect(arena.usedBytes).toBe(64 * 5 + 128);
  });

  it('blocks never overlap, whatever comes and goes', () => {
    const arena = createArena(0);
    const blocks = new Map<number, number>();
    let state = 5;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let i = 0; i < 2000; i++) {
      const offsets = [...blocks.keys()];
      if (random(3) === 0 && offsets.length > 0) {
        const offset = offsets[random(offsets.length)]!;
        arena.free(offset);
        blocks.delete(offset);
        continue;
      }
      const bytes = 1 + random(5000);
      const offset = arena.take(bytes);
      for (const [other, size] of blocks) expect(offset + bytes <= other || other + size <= offset).toBe(true);
      blocks.set(offset, bytes);
    }
  });
});
