import { describe, expect, it } from 'vitest';
import { HearthError } from '../core/index.ts';
import type { AdapterReport, AdapterSet } from '../engines/index.ts';
import { createAdapterLeases } from './adapter-leases.ts';

/** A set that holds two adapters, and knows some by name. */
function twoPlaces(known: readonly string[]): AdapterSet & { readonly log: string[] } {
  const loaded = new Set<string>();
  const log: string[] = [];
  const report = (name: string): AdapterReport => ({ name, kind: 'lora', rank: 1, modules: 1, fileBytes: 1, memoryBytes: name.charCodeAt(0), loadMs: 0 });
  return {
    log,
    async load(name) {
      await null;
      if (!known.includes(name)) throw new HearthError('adapter_not_found', 'There is none.');
      if (loaded.size === 2) throw new HearthError('adapter_limit', 'All places are taken.');
      log.push(`+${name}`);
      loaded.add(name);
      return report(name);
    },
    async unload(name) {
      loaded.delete(name);
      log.push(`-${name}`);
    },
    list: async () => [...loaded].map(report),
  };
}

describe('adapter leases', () => {
  it('an adapter is loaded once for all that use it', async () => {
    const set = twoPlaces(['a']);
    const leases = createAdapterLeases(set, () => {});
    await Promise.all([leases.take('a'), leases.take('a'), leases.take('a')]);
    await leases.take('a');
    expect(set.log).toEqual(['+a']);
  });

  it('where all places are taken, the adapter that was idle longest gives way; one in use never does', async () => {
    const set = twoPlaces(['a', 'b', 'c', 'd']);
    const leases = createAdapterLeases(set, () => {});
    const leaveA = await leases.take('a');
    const leaveB = await leases.take('b');
    await expect(leases.take('c')).rejects.toMatchObject({ code: 'adapter_limit' });
    leaveB();
    leaveB();
    await leases.take('c');
    leaveA();
    await leases.take('d');
    expect(set.log).toEqual(['+a', '+b', '-b', '+c', '-a', '+d']);
    await expect(leases.take('b')).rejects.toMatchObject({ code: 'adapter_limit' });
  });

  it('a failed load is told, and tried again by the next request', async () => {
    const known = ['a'];
    const set = twoPlaces(known);
    const leases = createAdapterLeases(set, () => {});
    await expect(leases.take('x')).rejects.toMatchObject({ code: 'adapter_not_found' });
    known.push('x');
    await leases.take('x');
    expect(set.log).toEqual(['+x']);
  });

  it('what all loaded adapters take is told whenever it changes', async () => {
    const told: number[] = [];
    const leases = createAdapterLeases(twoPlaces(['a', 'b', 'c']), (bytes) => told.push(bytes));
    const [leave] = [await leases.take('a'), await leases.take('b')];
    leave();
    await leases.take('c');
    expect(told).toEqual([97, 97 + 98, 98, 98 + 99]);
  });

  it('one that is unloaded is not there any more, and is loaded again by who names it', async () => {
    const set = twoPlaces(['a', 'b']);
    const sizes: number[] = [];
    const leases = createAdapterLeases(set, (bytes) => sizes.push(bytes));
    (await leases.take('a'))();
    (await leases.take('b'))();
    expect([await leases.unload('a'), await leases.unload('a'), await leases.unload('nobody')]).toEqual([true, false, false]);
    expect(leases.loaded()).toEqual(['b']);
    // In use: it goes with its last user, and who names it meanwhile gets a new one afterwards.
    const leave = await leases.take('b');
    const gone = leases.unload('b');
    const again = leases.take('b');
    await new Promise((resolve) => setImmediate(resolve));
    expect(set.log).toEqual(['+a', '+b', '-a']);
    leave();
    await Promise.all([gone, again]);
    expect([set.log, leases.loaded()]).toEqual([['+a', '+b', '-a', '-b', '+b'], ['b']]);
    expect(sizes.at(-1)).toBe('b'.charCodeAt(0));
  });
});
