import { PAGE_TOKENS, type PageCache, type RecurrentStates } from '../../../ember/index.ts';
import type { Evaluated } from './sequence.ts';

/** Slots of the running states that recurrent models keep for their sequences; models without them need none. */
export interface StateSlots {
  /** A slot for a sequence that has its prefix: pages behind the last kept state are given back. */
  take(sequence: Evaluated, cache: PageCache): void;
  release(sequence: Evaluated): void;
  /** For its steps. */
  of(sequence: Evaluated): { readonly state?: number };
}

export function createStateSlots(states: RecurrentStates | null): StateSlots {
  if (states === null) return { take: () => {}, release: () => {}, of: () => ({}) };
  const free = Array.from({ length: states.slots }, (_, slot) => slot).reverse();
  const held = new Map<Evaluated, number>();
  return {
    take(sequence, cache) {
      const slot = free.pop()!;
      held.set(sequence, slot);
      const { pages } = sequence;
      const usable = states.resume(slot, pages[0] ?? new Uint32Array());
      sequence.pages = pages.map((table) => table.slice(0, usable));
      cache.release(pages.map((table) => table.subarray(usable)));
      sequence.computed = usable * PAGE_TOKENS;
    },
    release(sequence) {
      const slot = held.get(sequence);
      if (slot === undefined) return;
      held.delete(sequence);
      free.push(slot);
    },
    of: (sequence) => ({ state: held.get(sequence) ?? 0 }),
  };
}
