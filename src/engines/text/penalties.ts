import type { SamplingOptions } from '../../contract/index.ts';

/** What is done to one logit before anything is chosen: l = l > 0 ? l / multiply : l · multiply, then l + add. */
export interface Adjustment {
  readonly id: number;
  readonly multiply: number;
  readonly add: number;
}

export interface PenaltyState {
  /** For the next token. */
  adjustments(): Adjustment[];
  /** A token was generated. */
  accept(id: number): void;
}

/** Far below every logit, and finite, so that sums stay numbers. */
const BANNED = -1e9;

/**
 * Repetition penalty over the last `repetitionContextSize` tokens of prompt and answer (active only when not 1); presence and frequency
 * penalties over the answer; logit bias, of which −100 bans.
 */
export function createPenaltyState(options: SamplingOptions, prompt: readonly number[]): PenaltyState {
  const repetition = options.repetitionPenalty !== 1 && options.repetitionContextSize > 0;
  const additive = options.presencePenalty !== 0 || options.frequencyPenalty !== 0;
  const window = repetition ? prompt.slice(-options.repetitionContextSize) : [];
  const counts = new Map<number, number>();
  const bias = Object.entries(options.logitBias).map(([id, value]) => [Number(id), value <= -100 ? BANNED : value] as const);
  return {
    adjustments() {
      if (!repetition && !additive && bias.length === 0) return [];
      const byId = new Map<number, { id: number; multiply: number; add: number }>();
      const of = (id: number): { id: number; multiply: number; add: number } => {
        let entry = byId.get(id);
        if (entry === undefined) {
          entry = { id, multiply: 1, add: 0 };
          byId.set(id, entry);
        }
        return entry;
      };
      for (const id of window) of(id).multiply = options.repetitionPenalty;
      for (const [id, count] of counts) of(id).add -= options.presencePenalty + options.frequencyPenalty * count;
      for (const [id, value] of bias) of(id).add += value;
      return [...byId.values()];
    },
    accept(id) {
      if (repetition) {
        window.push(id);
        if (window.length > options.repetitionContextSize) window.shift();
      }
      if (additive) counts.set(id, (counts.get(id) ?? 0) + 1);
    },
  };
}
