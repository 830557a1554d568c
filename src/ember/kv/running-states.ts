import { HearthError } from '../../core/index.ts';
import { PAGE_TOKENS } from '../kernel-interface.ts';
import type { RecurrentStates, StepSequence } from '../types.ts';

/** What a step does with the state of one sequence, in slots of the ranks: see RECORD in step-words.ts. */
export interface StatePlan {
  readonly state: number;
  readonly stateFrom: number;
  readonly keepAfter: number;
  readonly keepIn: number;
}

export interface RunningStates extends RecurrentStates {
  /** Before the sequences of a step are planned. */
  begin(): void;
  /** Refuses a sequence whose state is not where it wants to go on. */
  plan(sequence: StepSequence): StatePlan;
}

interface Kept {
  readonly slot: number;
  page: number;
  usedAt: number;
}

/** States at the borders of this many pages (2,048 tokens), and at the end of a prompt, are kept until the room is needed; others only while they are the last. */
const LASTING_PAGES = 64;

/**
 * Which states of recurrent layers lie in which slots: `running` ones, one for each sequence, and behind them `kept` ones, each the state at the end
 * of a full page, for prefixes that are used again. Pure bookkeeping: the ranks copy.
 */
export function createRunningStates({ running, kept }: { readonly running: number; readonly kept: number }): RunningStates {
  const byPage = new Map<number, Kept>();
  const free = Array.from({ length: kept }, (_, i) => running + i).reverse();
  /** Of each running slot: where its sequence goes on, the kept state that it starts from, and the one that its next takes the place of. */
  const positions = new Array<number>(running).fill(0);
  const resumed = new Map<number, Kept>();
  const passing = new Map<number, Kept>();
  const starting = new Set<Kept>();
  /** Running slots whose prompt is not evaluated to its end. */
  const prefilling = new Set<number>();
  let clock = 0;

  const inUse = (entry: Kept): boolean => starting.has(entry) || [...resumed.values()].includes(entry);
  function forget(page: number): void {
    const entry = byPage.get(page);
    if (entry === undefined) return;
    byPage.delete(page);
    free.push(entry.slot);
    for (const [slot, last] of passing) if (last === entry) passing.delete(slot);
  }
  function room(slot: number): number | undefined {
    const last = passing.get(slot);
    passing.delete(slot);
    if (last !== undefined && byPage.get(last.page) === last && !inUse(last)) forget(last.page);
    if (free.length === 0) {
      const oldest = [...byPage.values()].filter((entry) => !inUse(entry)).sort((a, b) => a.usedAt - b.usedAt)[0];
      if (oldest !== undefined) forget(oldest.page);
    }
    return free.pop();
  }
  function keep(slot: number, page: number, lasting: boolean): number {
    const known = byPage.get(page);
    if (known !== undefined) {
      known.usedAt = ++clock;
      return -1;
    }
    const place = room(slot);
    if (place === undefined) return -1;
    const entry: Kept = { slot: place, page, usedAt: ++clock };
    byPage.set(page, entry);
    if (!lasting) passing.set(slot, entry);
    return place;
  }

  return {
    slots: running,
    resume(slot, pages) {
      if (!(Number.isInteger(slot) && slot >= 0 && slot < running))
        throw new HearthError('invalid_value', `There are ${running} running states, not one ${slot}.`);
      passing.delete(slot);
      resumed.delete(slot);
      positions[slot] = 0;
      for (let count = pages.length; count > 0; count--) {
        const entry = byPage.get(pages[count - 1]!);
        if (entry === undefined) continue;
        entry.usedAt = ++clock;
        resumed.set(slot, entry);
        positions[slot] = count * PAGE_TOKENS;
        return count;
      }
      return 0;
    },
    begin: () => starting.clear(),
    plan({ state = 0, pages: [pages], position, tokens, output }) {
      if (position === 0) {
        passing.delete(state);
        resumed.delete(state);
      } else if (positions[state] !== position)
        throw new HearthError(
          'invalid_value',
          `The running state ${state} is at position ${positions[state] ?? 'nowhere'}, but the step goes on at ${position}.`,
        );
      const from = resumed.get(state);
      resumed.delete(state);
      if (from !== undefined) starting.add(from);
      const end = position + tokens.length;
      positions[state] = end;
      const firstWritten = Math.floor(position / PAGE_TOKENS);
      // Pages that are written now do not hold what their kept states belong to.
      for (let page = firstWritten; page * PAGE_TOKENS < end; page++) forget(pages![page]!);
      const border = Math.floor((end - 1) / PAGE_TOKENS);
      const keepAfter = border * PAGE_TOKENS - position;
      const plan = { state, stateFrom: from?.slot ?? -1 };
      const promptEnds = output !== 'none' && (tokens.length > 1 || prefilling.has(state));
      if (output === 'none') prefilling.add(state);
      else prefilling.delete(state);
      const passes = border > 0 && keepAfter >= 0;
      const keepIn = passes ? keep(state, pages![border - 1]!, border % LASTING_PAGES === 0) : -1;
      // The last border of a prompt is where other answers and other last messages begin.
      if (promptEnds) passing.delete(state);
      return { ...plan, keepAfter: keepIn < 0 ? -1 : keepAfter, keepIn };
    },
  };
}
