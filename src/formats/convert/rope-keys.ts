import { HearthError } from '../../core/index.ts';
import { type GgufHeader, type GgufKey, ggufNumber, ggufString } from '../gguf/index.ts';
import type { Config, Family } from './families/index.ts';
import type { Llama3Rope } from './rope.ts';

/** The shortest decimal that rounds to the same float32: 1e-05 rather than 0.000009999999747378752. */
export function shortest(value: number): number {
  for (let digits = 1; digits <= 9; digits += 1) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === Math.fround(value)) return decimal;
  }
  return value;
}

/** `rope_scaling` of config.json from the keys of GGUF; what is said by tensors comes with them. Throws `convert_config_key`. */
export function importRopeScaling(header: GgufHeader, { architecture }: Family): Config | null {
  const key = `${architecture}.rope.scaling`;
  const type = ggufString(header, `${key}.type`) ?? 'none';
  if (type === 'none') return null;
  const factor = ggufNumber(header, `${key}.factor`);
  const original = ggufNumber(header, `${key}.original_context_length`);
  if (type === 'linear' && factor !== undefined) return { rope_type: 'linear', factor };
  if (type === 'yarn' && factor !== undefined && original !== undefined && !header.keys.has(`${key}.attn_factor`)) {
    const beta = (name: string, suffix: string) => {
      const value = ggufNumber(header, `${key}.yarn_beta_${suffix}`);
      return value === undefined ? {} : { [name]: shortest(value) };
    };
    // The ramp of gpt_oss does not end on whole dimensions.
    const ramp = architecture === 'gpt-oss' ? { truncate: false } : {};
    return { rope_type: 'yarn', factor, original_max_position_embeddings: original, ...beta('beta_fast', 'fast'), ...beta('beta_slow', 'slow'), ...ramp };
  }
  if (type === 'longrope' && architecture === 'phi3') return null;
  throw new HearthError(
    'convert_config_key',
    `The GGUF file stretches rotations by ${key}.type ${JSON.stringify(type)}, which hearth cannot express in config.json.`,
  );
}

const ropeObject = (config: Config): Config => {
  const found = config['rope_scaling'] ?? config['rope_parameters'];
  return typeof found === 'object' && found !== null ? (found as Config) : {};
};

/** Base of the rotations: of its own, or inside `rope_parameters`. */
export function ropeTheta(config: Config): number {
  const nested = ropeObject(config)['rope_theta'];
  const own = config['rope_theta'];
  return typeof own === 'number' ? own : typeof nested === 'number' ? nested : 10_000;
}

export interface ExportedRope {
  readonly keys: readonly GgufKey[];
  /** Becomes the tensor `rope_freqs.weight`. */
  readonly llama3: Llama3Rope | null;
  /** Become the tensors `rope_factors_long.weight` and `rope_factors_short.weight`. */
  readonly factors: { readonly long: readonly number[]; readonly short: readonly number[] } | null;
}

/** Throws `convert_config_key` for a stretching that GGUF does not have. */
export function exportRopeScaling(config: Config, architecture: string): ExportedRope {
  const scaling = ropeObject(config);
  const type = scaling['rope_type'] ?? scaling['type'] ?? 'default';
  const value = (key: string): number => {
    const found = scaling[key];
    if (typeof found !== 'number') throw new HearthError('convert_config_key', `rope_scaling in config.json lacks the number ${key}.`);
    return found;
  };
  const key = `${architecture}.rope.scaling`;
  const f32 = (suffix: string, number: number): GgufKey => ({ key: `${key}.${suffix}`, type: 'f32', value: number });
  const u32 = (suffix: string, number: number): GgufKey => ({ key: `${key}.${suffix}`, type: 'u32', value: number });
  const named = (name: string): GgufKey[] => [{ key: `${key}.type`, type: 'string', value: name }, f32('factor', value('factor'))];
  const none = { llama3: null, factors: null };
  switch (type) {
    case 'default':
      return { keys: phi3Original(config, architecture), ...none };
    case 'linear':
      return { keys: named('linear'), ...none };
    case 'yarn': {
      const betas = ['beta_fast', 'beta_slow'].flatMap((name) => (typeof scaling[name] === 'number' ? [f32(`yarn_${name}`, scaling[name])] : []));
      return { keys: [...named('yarn'), u32('original_context_length', value('original_max_position_embeddings')), ...betas], ...none };
    }
    case 'llama3':
      return {
        keys: [],
        llama3: {
          factor: value('factor'),
          low: value('low_freq_factor'),
          high: value('high_freq_factor'),
          original: value('original_max_position_embeddings'),
        },
        factors: null,
      };
    case 'longrope':
    case 'su': {
      const [long, short] = [scaling['long_factor'], scaling['short_factor']];
      if (architecture !== 'phi3' || !isNumbers(long) || !isNumbers(short) || long.length !== short.length) break;
      return { keys: [...phi3Original(config, architecture), f32('attn_factor', longropeMagnitude(config))], llama3: null, factors: { long, short } };
    }
  }
  throw new HearthError('convert_config_key', `config.json stretches rotations by ${JSON.stringify(type)}, which GGUF cannot hold.`);
}

const isNumbers = (value: unknown): value is number[] => Array.isArray(value) && value.every((entry) => typeof entry === 'number');

/** √(1 + ln(context ÷ original) ÷ ln(original)): both sides compute it. */
export function longropeMagnitude(config: Config): number {
  const [context, original] = [Number(config['max_position_embeddings']), Number(config['original_max_position_embeddings'])];
  return context > original ? Math.sqrt(1 + Math.log(context / original) / Math.log(original)) : 1;
}

function phi3Original(config: Config, architecture: string): GgufKey[] {
  const original = config['original_max_position_embeddings'];
  if (architecture !== 'phi3' || typeof original !== 'number') return [];
  return [{ key: 'phi3.rope.scaling.original_context_length', type: 'u32', value: original }];
}
