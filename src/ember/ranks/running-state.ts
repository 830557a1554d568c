import { HEADER, RECORD } from './step-words.ts';

/** A run of one sequence's tokens over a state that lies at `state` (index of f32 values). `first` counts over the batch. */
export type StateRun = (state: number, first: number, tokens: number) => void;

interface StatePlace {
  /** Bytes: slot s lies at base + s · stride. */
  readonly base: number;
  readonly stride: number;
}

/**
 * Runs all sequences of a step over their states. A sequence at position 0 starts from nothing; one that was resumed starts from a kept state; where
 * the step passes the border of a page that is to be reused, the state is copied there.
 */
export function runStates(floats: Float32Array, step: Int32Array, { base, stride }: StatePlace, sequences: number, run: StateRun): void {
  const at = (slot: number): number => (base + slot * stride) / 4;
  const values = stride / 4;
  for (let s = 0; s < sequences; s++) {
    const record = HEADER.words + s * RECORD.words;
    const state = at(step[record + RECORD.state]!);
    const from = step[record + RECORD.stateFrom]!;
    const first = step[record + RECORD.firstToken]!;
    const tokens = step[record + RECORD.tokens]!;
    const keepAfter = step[record + RECORD.keepAfter]!;
    if (step[record + RECORD.position] === 0) floats.fill(0, state, state + values);
    else if (from >= 0) floats.copyWithin(state, at(from), at(from) + values);
    if (keepAfter > 0) run(state, first, keepAfter);
    if (keepAfter >= 0) floats.copyWithin(at(step[record + RECORD.keepIn]!), state, state + values);
    const done = Math.max(0, keepAfter);
    run(state, first + done, tokens - done);
  }
}
