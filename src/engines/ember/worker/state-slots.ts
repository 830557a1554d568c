import { PAGE_TOKENS, type PagePool, type RecurrentStates } from '../../../ember/index.ts';
import type { Evaluated } from './sequence.ts';

/** Slots of the running states that recurrent models keep for their sequences; models without them need none. */
export interface StateSlots {
  /** A slot for a sequence that has its prefix: pages behind the last kept state are given back. */
  take(sequence: Evaluated, pool: PagePool): void;
  release(sequence: Evaluated): void;
  /** For its steps. */
  of(sequence: Evaluated): { readonly state?: number };
}

export function createStateSlots(states: RecurrentStates | null): StateSlots {
  if (states === null) return { take: () => {}, release: () => {}, of: () => ({}) };
  const free = Array.from({ length: states.slots }, (_, slot) => slot).reverse();
  const held = new Map<Evaluated, number>();
  return {
    take(sequence, pool) {
      const slot = free.pop()!;
      held.set(sequence, slot);
      const usable = states.resume(slot, sequence.pages);
      pool.release(sequence.pages.subarray(usable));
      sequence.pages = sequence.pages.slice(0, usable);
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
