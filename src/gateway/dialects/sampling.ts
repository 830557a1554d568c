import { REQUEST_LIMITS, type SamplingOptions } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Target } from '../answer.ts';
import type { Gateway } from '../gateway.ts';

/** Wire fields of sampling, as chat and plain completions have them. */
export interface SamplingFields {
  readonly temperature?: number | null | undefined;
  readonly top_p?: number | null | undefined;
  readonly top_k?: number | null | undefined;
  readonly min_p?: number | null | undefined;
  readonly presence_penalty?: number | null | undefined;
  readonly frequency_penalty?: number | null | undefined;
  readonly repetition_penalty?: number | null | undefined;
  readonly repetition_context_size?: number | null | undefined;
  readonly xtc_probability?: number | null | undefined;
  readonly xtc_threshold?: number | null | undefined;
  readonly seed?: number | null | undefined;
  readonly logit_bias?: Readonly<Record<string, number>> | null | undefined;
}

const MAX_BIAS_ENTRIES = REQUEST_LIMITS.biasEntries;

/** Request, else the model's generation_config, else the gateway's defaults (docs/spec/serving.md §1.5). */
export function decodeSampling(fields: SamplingFields, target: Target, defaults: Gateway['sampling']): SamplingOptions {
  const model = target.generationConfig;
  // A hint: an upstream without it answers all the same, and the answer says that it was left out.
  const takesSeed = target.capabilities.seed;
  if (isPresent(fields.seed) && !takesSeed && target.model !== undefined) throw unsupported('seed', target);
  return {
    temperature: fields.temperature ?? model.temperature ?? defaults.temperature,
    topP: fields.top_p ?? model.topP ?? defaults.topP,
    topK: fields.top_k ?? model.topK ?? 0,
    minP: fields.min_p ?? model.minP ?? 0,
    repetitionPenalty: fields.repetition_penalty ?? model.repetitionPenalty ?? defaults.repetitionPenalty,
    repetitionContextSize: fields.repetition_context_size ?? 20,
    presencePenalty: fields.presence_penalty ?? 0,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    xtcProbability: fields.xtc_probability ?? 0,
    xtcThreshold: fields.xtc_threshold ?? 0.1,
    logitBias: decodeLogitBias(fields.logit_bias, target),
    ...(isPresent(fields.seed) && takesSeed ? { seed: fields.seed } : {}),
  };
}

const NAMES: Readonly<Record<keyof SamplingFields, keyof SamplingOptions>> = {
  temperature: 'temperature',
  top_p: 'topP',
  top_k: 'topK',
  min_p: 'minP',
  presence_penalty: 'presencePenalty',
  frequency_penalty: 'frequencyPenalty',
  repetition_penalty: 'repetitionPenalty',
  repetition_context_size: 'repetitionContextSize',
  xtc_probability: 'xtcProbability',
  xtc_threshold: 'xtcThreshold',
  seed: 'seed',
  logit_bias: 'logitBias',
};

/** The fields that the client gave: a remote gets these alone. */
export const askedSampling = (fields: SamplingFields): readonly (keyof SamplingOptions)[] =>
  Object.entries(NAMES).flatMap(([wire, name]) => (isPresent(fields[wire as keyof SamplingFields]) ? [name] : []));

function decodeLogitBias(bias: SamplingFields['logit_bias'], target: Target): Record<number, number> {
  const entries = Object.entries(bias ?? {});
  if (entries.length === 0) return {};
  if (!target.capabilities.logitBias) throw unsupported('logit_bias', target);
  if (entries.length > MAX_BIAS_ENTRIES) throw invalid('logit_bias', `logit_bias has ${entries.length} entries; at most ${MAX_BIAS_ENTRIES} are taken.`);
  const vocabulary = target.vocabularySize;
  for (const [id] of entries) {
    const known = /^(0|[1-9]\d{0,9})$/.test(id) && (vocabulary === null || Number(id) < vocabulary);
    if (known) continue;
    throw invalid('logit_bias', `logit_bias names the token ${id.slice(0, 20)}, which this model does not have.`);
  }
  return Object.fromEntries(entries.map(([id, value]) => [Number(id), value]));
}

export function decodeStop(stop: string | readonly string[] | null | undefined): readonly string[] {
  if (!isPresent(stop)) return [];
  const list = typeof stop === 'string' ? [stop] : stop;
  if (list.includes('')) throw invalid('stop', 'A stop string may not be empty.');
  return list;
}

/** Choices wanted, within what the limits and the engine allow. */
export function decodeChoices(n: number | null | undefined, target: Target): number {
  const choices = n ?? 1;
  const most = Math.min(4, target.capabilities.maxChoices);
  if (choices > most) throw invalid('n', `n is ${choices}; this model answers with at most ${most} choices.`);
  return choices;
}

export const isPresent = <T>(value: T | null | undefined): value is T => value !== null && value !== undefined;

export const invalid = (param: string, message: string): HearthError => new HearthError('invalid_value', message, { details: { param } });

export const unsupported = (param: string, target: Target): HearthError =>
  new HearthError('unsupported_parameter', `${param} is not supported by ${target.id} on ${target.upstream}.`, { details: { param } });
