import { describe, expect, it } from 'vitest';
import type { StateStore } from '../../src/gateway/state-store.ts';

export interface StateStoreUnderTest {
  readonly name: string;
  /** A reason why it cannot be asked here. */
  readonly skip?: string;
  /** Two views of one state: of two processes where it is shared, else the same one twice. */
  readonly setUp: () => Promise<AsyncDisposable & { readonly first: StateStore; readonly second: StateStore; pass(ms: number): Promise<void> }>;
}

/** What limits, breakers, leases and budgets expect of the shared state: the same of every implementation. */
export function describeStateStore(subject: StateStoreUnderTest): void {
  const title = subject.skip === undefined ? `state store ${subject.name}` : `state store ${subject.name} (skipped: ${subject.skip})`;
  describe.skipIf(subject.skip !== undefined)(title, () => {
    it('writes a value only over the version that the writer knows, and forgets it in time', async () => {
      await using state = await subject.setUp();
      const { first, second } = state;
      expect(await first.get('a')).toBe(null);
      expect(await first.compareAndSet('a', 1, 'x', 60_000)).toBe(null);
      expect(await first.compareAndSet('a', 0, 'one', 60_000)).toBe(1);
      expect(await second.compareAndSet('a', 0, 'late', 60_000)).toBe(null);
      expect(await second.get('a')).toEqual({ version: 1, value: 'one' });
      expect(await second.compareAndSet('a', 1, 'two €\n\u0000', 200)).toBe(2);
      expect(await first.get('a')).toEqual({ version: 2, value: 'two €\n\u0000' });
      expect(await first.get('b')).toBe(null);
      await state.pass(250);
      expect(await first.get('a')).toBe(null);
      expect(await first.compareAndSet('a', 0, 'new', 60_000)).toBe(1);
    });

    it('lets one of many writers win each version', async () => {
      await using state = await subject.setUp();
      const tries = Array.from({ length: 40 }, (_, index) => (index % 2 ? state.first : state.second).compareAndSet('race', 0, String(index), 60_000));
      expect((await Promise.all(tries)).filter((version) => version === 1)).toHaveLength(1);
    });

    it('counts in windows that begin with their first increment', async () => {
      await using state = await subject.setUp();
      expect(await state.first.increment('n', 1, 300)).toBe(1);
      expect(await state.second.increment('n', 2.5, 60_000)).toBe(3.5);
      expect(await state.first.increment('n', -0.5, 60_000)).toBe(3);
      await state.pass(350);
      expect(await state.first.increment('n', 4, 60_000)).toBe(4);
      await Promise.all(Array.from({ length: 50 }, (_, index) => (index % 2 ? state.first : state.second).increment('n', 1, 60_000)));
      expect(await state.second.increment('n', 0, 60_000)).toBe(54);
    });

    it('grants tokens while the bucket holds them, says when the next ones are there, and takes some back', async () => {
      await using state = await subject.setUp();
      const { first, second } = state;
      // One token in ten minutes: nothing grows back while the test looks.
      const slow = 1 / 600;
      expect(await first.takeTokens('b', 3, slow, 5)).toMatchObject({ granted: true, retryAfterMs: 0 });
      const refused = await second.takeTokens('b', 3, slow, 5);
      expect(refused.granted).toBe(false);
      expect(refused.remaining).toBeCloseTo(2, 1);
      expect(refused.retryAfterMs).toBeGreaterThan(500_000);
      expect(refused.retryAfterMs).toBeLessThanOrEqual(600_000);
      expect((await first.takeTokens('b', -1, slow, 5)).remaining).toBeCloseTo(3, 1);
      expect((await first.takeTokens('b', 3, slow, 5)).granted).toBe(true);
      expect((await first.takeTokens('b', -100, slow, 5)).remaining).toBe(5);
      expect(await first.takeTokens('b', 6, slow, 5)).toMatchObject({ granted: false, retryAfterMs: Number.POSITIVE_INFINITY });
      expect((await first.takeTokens('b', 8, slow, 5, { force: true })).remaining).toBeCloseTo(-3, 1);
      expect((await first.takeTokens('b', 1, slow, 5)).granted).toBe(false);

      expect((await first.takeTokens('fast', 5, 10, 5)).granted).toBe(true);
      expect((await first.takeTokens('fast', 5, 10, 5)).granted).toBe(false);
      await state.pass(600);
      expect((await second.takeTokens('fast', 5, 10, 5)).granted).toBe(true);
    });

    it('never grants more than the bucket holds, however many ask at once', async () => {
      await using state = await subject.setUp();
      const asked = Array.from({ length: 60 }, (_, index) => (index % 2 ? state.first : state.second).takeTokens('many', 1, 1 / 600, 20));
      expect((await Promise.all(asked)).filter(({ granted }) => granted)).toHaveLength(20);
    });

    it('gives a lease to one owner, who may renew and release it, and to the next one when it is over', async () => {
      await using state = await subject.setUp();
      const { first, second } = state;
      expect(await first.acquireLease('probe', 'A', 60_000)).toBe(true);
      expect(await second.acquireLease('probe', 'B', 60_000)).toBe(false);
      expect(await first.acquireLease('probe', 'A', 60_000)).toBe(true);
      expect(await second.renewLease('probe', 'B', 60_000)).toBe(false);
      expect(await second.releaseLease('probe', 'B')).toBe(false);
      expect(await first.renewLease('probe', 'A', 300)).toBe(true);
      await state.pass(350);
      expect(await first.renewLease('probe', 'A', 60_000)).toBe(false);
      expect(await second.acquireLease('probe', 'B', 60_000)).toBe(true);
      expect(await first.releaseLease('probe', 'A')).toBe(false);
      expect(await second.releaseLease('probe', 'B')).toBe(true);
      expect(await first.acquireLease('probe', 'A', 60_000)).toBe(true);
      const askers = ['C', 'D', 'E', 'F'].map((owner, index) => (index % 2 ? first : second).acquireLease('other', owner, 60_000));
      expect((await Promise.all(askers)).filter(Boolean)).toHaveLength(1);
    });
  });
}
