import type { StepSequence } from '../../../ember/index.ts';
import { type Evaluated, generatedTokens, type Reading, type Sequence } from './sequence.ts';

/** What a sequence brings to one step. */
export interface Share {
  readonly sequence: Sequence | Reading;
  /** Tokens that it has. */
  readonly count: number;
  /** Tokens that may follow them. */
  readonly guesses: readonly number[];
}

export const wantsHidden = ({ sequence }: Share): boolean => sequence.kind === 'reading' && sequence.wants === 'hidden';
export const adapterOrder = ({ sequence }: Share): number => sequence.request.adapter?.slot ?? -1;
export const remaining = (sequence: Evaluated): number => sequence.tokens.length - sequence.computed;
export const decodes = (sequence: Evaluated): boolean => generatedTokens(sequence) > 0 && remaining(sequence) === 1;

export function toStep({ sequence, count, guesses }: Share): StepSequence {
  const { computed, tokens, pages } = sequence;
  if (sequence.kind === 'reading') {
    const part = tokens.slice(computed, computed + count);
    const base = { pages, position: computed, tokens: part, temperature: 1, adjustments: [], candidates: 0 };
    // The last token has no successor; its own id stands in for one.
    if (sequence.wants === 'scores') return { ...base, output: 'all', rows: count, targets: part.map((id, i) => tokens[computed + i + 1] ?? id) };
    const { secondText } = sequence;
    return { ...base, output: 'hidden', rows: sequence.rows(computed, count), ...(secondText === undefined ? {} : { secondText }) };
  }
  const { sampler, request, guide, rawCandidates } = sequence;
  const last = computed + count === tokens.length;
  const mask = last ? (guide?.mask() ?? null) : null;
  return {
    pages,
    position: computed,
    tokens: [...tokens.slice(computed, computed + count), ...guesses],
    output: last ? 'last' : 'none',
    rows: guesses.length + 1,
    temperature: sampler.sumTemperature,
    adjustments: last ? sampler.adjustments() : [],
    candidates: sampler.candidates,
    ...(mask === null ? {} : { mask }),
    ...(rawCandidates === undefined || !last ? {} : { rawCandidates }),
    ...(request.adapter === null ? {} : { adapter: { slot: request.adapter.slot, scale: request.adapter.scale } }),
  };
}
