import type { SamplingOptions } from '../../contract/index.ts';
import { type Adjustment, createPenaltyState } from './penalties.ts';
import { createRandomStream, type RandomStream } from './random.ts';

/** The largest adjusted logits of one position, and the normaliser over the whole vocabulary. */
export interface LogitCandidates {
  readonly max: number;
  /** Σ exp((logit − max) / t) over the whole vocabulary at t = `sumTemperature`. */
  readonly sum: number;
  /** Largest first, lowest id first on a tie. */
  readonly ids: ArrayLike<number>;
  readonly values: ArrayLike<number>;
}

export interface Sampler {
  /** Temperature at which `sum` is wanted. */
  readonly sumTemperature: number;
  /** Candidates wanted, 1 … 256. */
  readonly candidates: number;
  /** Penalties and bias for the next token, to be applied before candidates are taken. */
  adjustments(): Adjustment[];
  /** The next token, or null when the candidates do not decide it: then `chooseFromRow` must be called with the whole adjusted row. */
  choose(candidates: LogitCandidates): number | null;
  chooseFromRow(row: Float32Array): number;
  /** Tells the sampler which token came next (also in a prompt that is evaluated again). */
  accept(id: number): void;
}

const MAX_CANDIDATES = 256;

/**
 * Order: repetition, presence and frequency penalties and bias (adjustments) → top-k → top-p → min-p → XTC → temperature → draw. Top-p, min-p
 * and XTC look at probabilities before temperature: top-p and XTC among what is still in, min-p relative to the largest. The draw walks the
 * tokens from the most probable one on, lowest id first on a tie, so that candidates and whole rows give the same token. Temperature 0 is argmax.
 */
export function createSampler(options: SamplingOptions, seed: number, choice: number, prompt: readonly number[]): Sampler {
  const penalties = createPenaltyState(options, prompt);
  const random = createRandomStream(seed, choice);
  const greedy = options.temperature <= 0;
  const narrow = options.topK > 0 && options.topK <= MAX_CANDIDATES;
  let draws: Draws | undefined;
  const decide = (list: LogitCandidates, complete: boolean): number | null => {
    if (greedy) return list.ids[0] ?? 0;
    draws ??= takeDraws(random, options);
    const id = pick(list, complete, options, draws);
    if (id !== null) draws = undefined;
    return id;
  };
  return {
    sumTemperature: greedy || (!narrow && options.topP < 1) ? 1 : options.temperature,
    candidates: greedy ? 1 : narrow ? options.topK : MAX_CANDIDATES,
    adjustments: () => penalties.adjustments(),
    choose: (candidates) => decide(candidates, false),
    chooseFromRow: (row) => decide(orderRow(row), true) ?? 0,
    accept: (id) => penalties.accept(id),
  };
}

interface Draws {
  readonly token: number;
  readonly xtc: number;
}

/** Both numbers are taken before the decision, so that a retry with the whole row uses the same ones. */
const takeDraws = (random: RandomStream, options: SamplingOptions): Draws => ({
  token: random.next(),
  xtc: options.xtcProbability > 0 ? random.next() : 1,
});

/** `complete`: the list is the whole vocabulary. Otherwise null whenever tokens outside the list could matter. */
function pick(list: LogitCandidates, complete: boolean, options: SamplingOptions, draws: Draws): number | null {
  const { ids, values, max } = list;
  const weight = (i: number, temperature: number): number => Math.exp((values[i]! - max) / temperature);
  const mass = (from: number, to: number, temperature: number): number => {
    let total = 0;
    for (let i = from; i < to; i++) total += weight(i, temperature);
    return total;
  };
  let from = 0;
  let to = ids.length;
  /** Whether tokens beyond the list are still in. */
  let open = !complete;
  // Masked tokens: where the list reaches them, nothing beyond it is in.
  while (to > 1 && values[to - 1] === Number.NEGATIVE_INFINITY) {
    to--;
    open = false;
  }

  if (options.topK > 0) {
    if (options.topK > to && open) return null;
    to = Math.min(to, options.topK);
    open = false;
  }
  if (options.topP < 1) {
    const wanted = options.topP * (open ? list.sum : mass(0, to, 1));
    let reached = 0;
    let count = 0;
    while (count < to && reached < wanted) reached += weight(count++, 1);
    if (reached < wanted && open) return null;
    to = Math.max(1, count);
    open = false;
  }
  if (options.minP > 0) {
    const least = max + Math.log(options.minP);
    let count = 1;
    while (count < to && values[count]! >= least) count++;
    if (count === to && open) return null;
    to = count;
    open = false;
  }
  if (draws.xtc < options.xtcProbability) {
    if (open) return null;
    const least = options.xtcThreshold * mass(0, to, 1);
    let count = 0;
    while (count < to && weight(count, 1) >= least) count++;
    // All but the least probable of those above the threshold leave.
    from = Math.max(0, count - 1);
  }
  let left = draws.token * (open ? list.sum : mass(from, to, options.temperature));
  for (let i = from; i < to; i++) {
    left -= weight(i, options.temperature);
    if (left < 0) return ids[i]!;
  }
  return open ? null : ids[to - 1]!;
}

/** Bits of a key that are sorted at once, lowest first: three passes for 32 bits. */
const DIGITS = [11, 11, 10] as const;

/** The whole row, largest first, lowest id first on a tie: float bits as ordered integers, sorted by counting, which keeps the order of equal ones. */
function orderRow(row: Float32Array): LogitCandidates {
  const keys = new Uint32Array(row.buffer, row.byteOffset, row.length).map((word) => (word & 0x80000000 ? word : ~word & 0x7fffffff));
  let ids = keys.map((_, id) => id);
  let next = new Uint32Array(row.length);
  let shift = 0;
  for (const bits of DIGITS) {
    const places = new Uint32Array(2 ** bits + 1);
    const mask = 2 ** bits - 1;
    for (const key of keys) places[((key >>> shift) & mask) + 1]!++;
    for (let digit = 0; digit < mask; digit++) places[digit + 1]! += places[digit]!;
    for (let i = 0; i < ids.length; i++) next[places[(keys[ids[i]!]! >>> shift) & mask]!++] = ids[i]!;
    [ids, next] = [next, ids];
    shift += bits;
  }
  const values = new Float32Array(row.length);
  for (let i = 0; i < ids.length; i++) values[i] = row[ids[i]!]!;
  return { max: values[0] ?? 0, sum: 0, ids, values };
}
