import type { LogitAdjustment, LogitSummary } from '../../../ember/index.ts';
import type { Tokenizer } from '../../../formats/index.ts';
import { tokenProbability } from '../../model-text/token-probability.ts';
import type { TokenScores } from '../../text/index.ts';

/** Scores of a drawn token from the raw logits; `row` is the adjusted row where the token is in no list. */
export type Scores = (id: number, raw: LogitSummary, adjusted: LogitSummary, adjustments: readonly LogitAdjustment[], row: Float32Array | null) => TokenScores;

export function createScores(tokenizer: Pick<Tokenizer, 'tokenBytes'>): Scores {
  return (id, raw, adjusted, adjustments, row) => {
    const normaliser = raw.max + Math.log(raw.sum);
    const top = Array.from(raw.ids, (token, i) => tokenProbability(tokenizer, token, raw.values[i]! - normaliser));
    const { bytes, logprob } = tokenProbability(tokenizer, id, rawLogit(id, raw, adjusted, adjustments, row) - normaliser);
    return { id, bytes: Uint8Array.from(bytes), logprob, top };
  };
}

/** The logit before adjustments: from the raw list, else from the adjusted one with its adjustment taken back. */
export function rawLogit(id: number, raw: LogitSummary, adjusted: LogitSummary, adjustments: readonly LogitAdjustment[], row: Float32Array | null): number {
  const inRaw = raw.ids.indexOf(id);
  if (inRaw >= 0) return raw.values[inRaw]!;
  const place = adjusted.ids.indexOf(id);
  const value = place >= 0 ? adjusted.values[place]! : (row?.[id] ?? Number.NEGATIVE_INFINITY);
  const change = adjustments.find((one) => one.id === id);
  if (change === undefined) return value;
  const before = value - change.add;
  return before > 0 ? before * change.multiply : before / change.multiply;
}
