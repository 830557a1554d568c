import { HearthError } from '../../core/index.ts';
import { integer, positive, wrongValue } from './config-keys.ts';
import type { ModelConfig, Rope } from './model-graph.ts';

export const ROPE_KEYS = ['rope_theta', 'rope_traditional', 'rope_scaling', 'rope_parameters', 'partial_rotary_factor', 'max_position_embeddings'] as const;

interface ScaledRope {
  readonly rope: Rope;
  /** max_position_embeddings, or what the scaling extends it to. */
  readonly contextTokens: number;
}

/** Reads the rotary embedding of a config: `rope_theta` and `rope_scaling`, or both inside `rope_parameters` (transformers 5). */
export function readRope(config: ModelConfig, headDim: number, defaults: { theta: number; maxPositions: number }): ScaledRope {
  const nested = object(config, 'rope_parameters');
  const scaling = object(config, 'rope_scaling') ?? nested;
  const theta = positive(config, 'rope_theta', nested ? positive(nested, 'rope_theta', defaults.theta) : defaults.theta);
  const partial = positive(config, 'partial_rotary_factor', nested ? positive(nested, 'partial_rotary_factor', 1) : 1);
  const rotaryDim = Math.trunc(headDim * partial);
  if (rotaryDim > headDim || rotaryDim % 2 !== 0) throw wrongValue('partial_rotary_factor', partial, `an even part of a head of ${headDim} values (at most 1)`);
  const maxPositions = integer(config, 'max_position_embeddings', defaults.maxPositions);
  const wavelengths = Array.from({ length: rotaryDim / 2 }, (_, i) => theta ** ((2 * i) / rotaryDim));
  const scaled = scaling
    ? scale(config, scaling, wavelengths, rotaryDim, theta, maxPositions)
    : { periods: wavelengths, magnitude: 1, contextTokens: maxPositions };
  return {
    rope: { inverseFrequencies: scaled.periods.map((p) => Math.fround(1 / p)), magnitude: scaled.magnitude, traditional: config['rope_traditional'] === true },
    contextTokens: scaled.contextTokens,
  };
}

interface Scaled {
  /** Radians per turn of each pair are 1 / period. */
  readonly periods: readonly number[];
  readonly magnitude: number;
  readonly contextTokens: number;
}

function scale(config: ModelConfig, scaling: ModelConfig, periods: readonly number[], rotaryDim: number, theta: number, maxPositions: number): Scaled {
  const type = scaling['type'] ?? scaling['rope_type'] ?? 'default';
  const understood = UNDERSTOOD[String(type)];
  if (!understood) throw new HearthError('model_load_failed', `config.json: rope type ${JSON.stringify(type)} is not supported.`, { details: { type } });
  for (const [key, value] of Object.entries(scaling))
    if (value !== null && !COMMON.includes(key) && !understood.includes(key))
      throw new HearthError('model_load_failed', `config.json: rope type ${type} with ${key} = ${JSON.stringify(value)} is not supported.`, {
        details: { key },
      });
  if (type === 'default') return { periods, magnitude: 1, contextTokens: maxPositions };
  const longest = type === 'longrope' || type === 'su';
  const factor = longest ? 1 : positive(scaling, 'factor');
  const original = scaling['original_max_position_embeddings'] === undefined ? null : integer(scaling, 'original_max_position_embeddings');
  if (type === 'linear')
    return { periods: periods.map((p) => p * factor), magnitude: 1, contextTokens: original ? Math.floor(original * factor) : maxPositions };
  if (longest) {
    const { stretched, magnitude } = longrope(scaling, periods, original ?? integer(config, 'original_max_position_embeddings', 4096), maxPositions);
    return { periods: stretched, magnitude, contextTokens: maxPositions };
  }
  if (type === 'llama3') return { periods: llama3(scaling, periods, factor, original ?? 8192), magnitude: 1, contextTokens: maxPositions };
  return {
    ...yarn(scaling, periods, rotaryDim, theta, factor, original ?? 4096),
    contextTokens: original ? Math.max(maxPositions, Math.floor(original * factor)) : maxPositions,
  };
}

const COMMON = ['type', 'rope_type', 'rope_theta', 'partial_rotary_factor'];
const LONGROPE = ['factor', 'short_factor', 'long_factor', 'original_max_position_embeddings'];
const UNDERSTOOD: Readonly<Record<string, readonly string[]>> = {
  default: [],
  linear: ['factor', 'original_max_position_embeddings'],
  llama3: ['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'],
  longrope: LONGROPE,
  su: LONGROPE,
  yarn: ['factor', 'original_max_position_embeddings', 'beta_fast', 'beta_slow', 'mscale', 'mscale_all_dim', 'attention_factor', 'truncate'],
};

/** Long wavelengths are stretched by `factor`, short ones kept, those between are blended by how often they turn in the original context. */
function llama3(scaling: ModelConfig, periods: readonly number[], factor: number, original: number): number[] {
  const low = positive(scaling, 'low_freq_factor', 1);
  const high = positive(scaling, 'high_freq_factor', 4);
  return periods.map((period) => {
    const turns = original / (2 * Math.PI * period);
    if (turns < low) return period * factor;
    if (turns > high || low === high) return period;
    const smooth = (turns - low) / (high - low);
    return period / ((1 - smooth) / factor + smooth);
  });
}

/** LongRoPE (Ding et al. 2024), with the factors for long texts always: a cache made with one set cannot be read with another. */
function longrope(scaling: ModelConfig, periods: readonly number[], original: number, maxPositions: number) {
  const factors = scaling['long_factor'];
  if (!Array.isArray(factors) || factors.length !== periods.length || factors.some((factor) => typeof factor !== 'number' || !(factor > 0)))
    throw wrongValue('long_factor', factors, `a list of ${periods.length} numbers above 0`);
  const longer = maxPositions / original;
  return {
    stretched: periods.map((period, i) => period * (factors[i] as number)),
    magnitude: longer <= 1 ? 1 : Math.sqrt(1 + Math.log(longer) / Math.log(original)),
  };
}

/** YaRN (Peng et al. 2023): a ramp over the dimensions between interpolated and kept frequencies, and a larger magnitude. */
function yarn(scaling: ModelConfig, periods: readonly number[], rotaryDim: number, theta: number, factor: number, original: number) {
  const dimensionOf = (turns: number) => (rotaryDim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(Math.floor(dimensionOf(positive(scaling, 'beta_fast', 32))), 0);
  const high = Math.min(Math.ceil(dimensionOf(positive(scaling, 'beta_slow', 1))), rotaryDim - 1);
  const width = high === low ? 0.001 : high - low;
  const blended = periods.map((period, i) => {
    const interpolated = Math.min(Math.max((i - low) / width, 0), 1);
    return 1 / (interpolated / (factor * period) + (1 - interpolated) / period);
  });
  const grow = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  const weight = (key: string, fallback: number) => (typeof scaling[key] === 'number' ? (scaling[key] as number) : fallback);
  const given = scaling['attention_factor'];
  return { periods: blended, magnitude: typeof given === 'number' ? given : grow(weight('mscale', 1)) / grow(weight('mscale_all_dim', 0)) };
}

function object(config: ModelConfig, key: string): ModelConfig | null {
  const value = config[key] ?? null;
  if (value !== null && (typeof value !== 'object' || Array.isArray(value))) throw wrongValue(key, value, 'an object');
  return value as ModelConfig | null;
}
