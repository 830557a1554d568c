import { join } from 'node:path';
import { HearthError, isJsonObject } from '../../core/index.ts';
import { readJsonObject } from '../json-file.ts';
import { MAX_ADAPTER_RANK, type MlxSelection, withoutLanguagePrefix } from './adapter-table.ts';

/** adapter_config.json, understood. Ranks and scales are per module where a format can say so. */
export type AdapterConfig = MlxConfig | LegacyVlmConfig | PeftConfig;

export interface MlxConfig {
  readonly form: 'mlx';
  readonly kind: 'lora' | 'dora' | 'full';
  readonly baseModel: string | null;
  /** null for a full fine-tune. */
  readonly rank: number | null;
  readonly scale: number;
  readonly selection: MlxSelection;
}

export interface LegacyVlmConfig {
  readonly form: 'legacy-vlm';
  readonly kind: 'lora';
  readonly baseModel: null;
  readonly rank: number;
  readonly scale: number;
}

export interface PeftConfig {
  readonly form: 'peft';
  readonly kind: 'lora' | 'dora';
  readonly baseModel: string | null;
  rankOf(path: string): number;
  scaleOf(path: string): number;
}

const CONFIG_FILE = 'adapter_config.json';
const CONFIG_LIMIT_BYTES = 1024 * 1024;

type Fields = Readonly<Record<string, unknown>>;

/** Throws `adapter_config_missing`, `adapter_config_invalid`, `adapter_kind_unsupported`. */
export async function readAdapterConfig(directory: string): Promise<AdapterConfig> {
  const path = join(directory, CONFIG_FILE);
  const fields = await readFields(path);
  const reader = fieldReader(path);
  if ('peft_type' in fields) return readPeft(fields, reader);
  if ('lora_parameters' in fields || 'fine_tune_type' in fields || 'num_layers' in fields) return readMlx(fields, reader);
  if ('rank' in fields) {
    const rank = reader.rank(fields['rank'], 'rank');
    return { form: 'legacy-vlm', kind: 'lora', baseModel: null, rank, scale: reader.number(fields['alpha'] ?? 0.1, 'alpha') / rank };
  }
  throw reader.invalid('has neither `lora_parameters` (mlx-lm, mlx-vlm) nor `peft_type` (PEFT)');
}

const readFields = (path: string): Promise<Fields> =>
  readJsonObject(path, {
    limitBytes: CONFIG_LIMIT_BYTES,
    refuse(why, cause) {
      const absent = ['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException | undefined)?.code ?? '');
      if (absent) return new HearthError('adapter_config_missing', `${path} is not there; an adapter needs it beside its tensors.`, { cause });
      return fieldReader(path).invalid(why);
    },
  });

interface FieldReader {
  invalid(why: string): HearthError;
  number(value: unknown, name: string): number;
  rank(value: unknown, name: string): number;
  text(value: unknown): string | null;
}

function fieldReader(path: string): FieldReader {
  const invalid = (why: string): HearthError => new HearthError('adapter_config_invalid', `${path} ${why}.`);
  const number = (value: unknown, name: string): number => {
    if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid(`gives ${name} = ${JSON.stringify(value)}, which is no number`);
    return value;
  };
  return {
    invalid,
    number,
    rank(value, name) {
      const rank = number(value, name);
      if (!Number.isInteger(rank) || rank < 1 || rank > MAX_ADAPTER_RANK) throw invalid(`gives ${name} = ${rank}; 1 to ${MAX_ADAPTER_RANK} is allowed`);
      return rank;
    },
    text: (value) => (typeof value === 'string' && value !== '' ? value : null),
  };
}

function readMlx(fields: Fields, reader: FieldReader): MlxConfig {
  const kind = fields['fine_tune_type'] ?? 'lora';
  if (kind !== 'lora' && kind !== 'dora' && kind !== 'full')
    throw reader.invalid(`gives fine_tune_type = ${JSON.stringify(kind)}; lora, dora or full is known`);
  const baseModel = reader.text(fields['model']);
  const numLayers = reader.number(fields['num_layers'] ?? -1, 'num_layers');
  if (!Number.isInteger(numLayers)) throw reader.invalid(`gives num_layers = ${numLayers}, which is no whole number`);
  if (kind === 'full') return { form: 'mlx', kind, baseModel, rank: null, scale: 1, selection: { numLayers, keys: null } };
  const parameters = fields['lora_parameters'];
  if (!isJsonObject(parameters)) throw reader.invalid('lacks the object lora_parameters');
  if (!('scale' in parameters))
    throw reader.invalid(`lacks lora_parameters.scale${'alpha' in parameters ? '; alpha is another number: scale = alpha ÷ rank' : ''}`);
  const keys = parameters['keys'] ?? null;
  if (keys !== null && !(Array.isArray(keys) && keys.every((key) => typeof key === 'string')))
    throw reader.invalid('gives lora_parameters.keys that are no list of module paths');
  return {
    form: 'mlx',
    kind,
    baseModel,
    rank: reader.rank(parameters['rank'], 'lora_parameters.rank'),
    scale: reader.number(parameters['scale'], 'lora_parameters.scale'),
    selection: { numLayers, keys: keys === null ? null : (keys as string[]).map(withoutLanguagePrefix) },
  };
}

/** Starting points that change the base's own weights: the adapter means nothing on the base as it is published. */
const BASE_CHANGING = /^(?:pissa|olora|corda|loftq)/;

function readPeft(fields: Fields, reader: FieldReader): PeftConfig {
  const unsupported = (what: string): HearthError => new HearthError('adapter_kind_unsupported', `The adapter is ${what}, which cannot be used.`);
  if (fields['peft_type'] !== 'LORA') throw unsupported(`of the PEFT type ${JSON.stringify(fields['peft_type'])}`);
  if (fields['fan_in_fan_out'] === true) throw unsupported('for layers that keep their weights transposed (fan_in_fan_out)');
  if (fields['lora_bias'] === true || (fields['bias'] ?? 'none') !== 'none') throw unsupported('one that trains biases');
  const saved = fields['modules_to_save'];
  if (Array.isArray(saved) && saved.length > 0) throw unsupported(`one that replaces whole modules (${saved.join(', ')})`);
  const start = fields['init_lora_weights'];
  if (typeof start === 'string' && BASE_CHANGING.test(start.toLowerCase())) throw unsupported(`one that changes the base's own weights (${start})`);

  const rank = reader.rank(fields['r'], 'r');
  const alpha = reader.number(fields['lora_alpha'] ?? 8, 'lora_alpha');
  const ranks = readPattern(fields['rank_pattern'], 'rank_pattern', reader, reader.rank);
  const alphas = readPattern(fields['alpha_pattern'], 'alpha_pattern', reader, reader.number);
  const rankOf = (path: string): number => ranks(path) ?? rank;
  const root = fields['use_rslora'] === true;
  return {
    form: 'peft',
    kind: fields['use_dora'] === true ? 'dora' : 'lora',
    baseModel: reader.text(fields['base_model_name_or_path']),
    rankOf,
    scaleOf: (path) => (alphas(path) ?? alpha) / (root ? Math.sqrt(rankOf(path)) : rankOf(path)),
  };
}

/**
 * PEFT's patterns are regular expressions for the end of a module's path. Those of an unknown file are not run: only paths are understood,
 * with `^` for a whole path, which is what PEFT itself writes.
 */
function readPattern(value: unknown, name: string, reader: FieldReader, read: (value: unknown, name: string) => number): (path: string) => number | undefined {
  if (value === undefined || value === null) return () => undefined;
  if (!isJsonObject(value)) throw reader.invalid(`gives a ${name} that is no object`);
  const entries = Object.entries(value).map(([key, entry]) => {
    if (!/^\^?[A-Za-z0-9_]+(?:\\?\.[A-Za-z0-9_]+)*\$?$/.test(key))
      throw reader.invalid(`uses the pattern ${JSON.stringify(key)} in ${name}; only module paths can be read`);
    return { whole: key.startsWith('^'), path: key.replace(/^\^|\\|\$$/g, ''), value: read(entry, `${name}.${key}`) };
  });
  return (path) => entries.find((entry) => path === entry.path || (!entry.whole && path.endsWith(`.${entry.path}`)))?.value;
}
