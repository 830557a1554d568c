import type { ShowData } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import { conversionSummary } from './convert/conversion-summary.ts';
import { isObject } from './health/json-value.ts';
import { type Judgement, judge } from './judge.ts';
import { type Located, locate } from './locate.ts';
import type { StoreOptions } from './options.ts';
import { sizeText } from './size-text.ts';
import { recalculateHash } from './workspace/clean-check.ts';
import { isManaged, plainSentinel, readSentinel } from './workspace/sentinel.ts';

export interface ShowParameters {
  readonly reference: string;
  /** List the files. */
  readonly files?: boolean;
  /** Give the whole config.json. */
  readonly config?: boolean;
  readonly recalcHash?: boolean;
  readonly signal?: AbortSignal;
}

/** Errors: those of `locate`; `invalid_argument` for recalcHash on what is no managed workspace. */
export async function show(options: StoreOptions, parameters: ShowParameters): Promise<ShowData> {
  const located = await locate(options, parameters.reference);
  if (parameters.recalcHash === true) await recalculate(options, located);
  const judgement = await judge(options, located);
  const sections = parameters.files === true || parameters.config === true;
  return {
    model: judgement.model,
    // A workspace without a sentinel has an empty one, as in the reference.
    workspace_metadata: judgement.sentinel === null ? (judgement.model.cached ? null : {}) : plainSentinel(judgement.sentinel),
    metadata: sections ? null : metadataOf(judgement),
    ...(parameters.files === true ? filesOf(judgement) : {}),
    ...(parameters.config === true ? { config: await configOf(judgement) } : {}),
    ...(parameters.recalcHash === true ? { hash_updated: true } : {}),
    reachable: { ...judgement.reachable },
    conversion: await conversionSummary(judgement.view),
  };
}

async function recalculate(options: StoreOptions, located: Located): Promise<void> {
  const sentinel = located.kind === 'workspace' ? await readSentinel(located.directory) : null;
  if (located.kind === 'cache' || !isManaged(sentinel)) {
    throw new HearthError('invalid_argument', `--recalc-hash is for managed workspaces, made by clone or convert; ${located.name} is none.`);
  }
  const done = await recalculateHash(located.directory, sentinel, new Date(options.clock.now()));
  if (done === null) throw new HearthError('show_operation_failed', `${located.name} has no content hash: a link leaves it, or a safetensors file is damaged.`);
}

function metadataOf(judgement: Judgement): NonNullable<ShowData['metadata']> {
  const { config } = judgement.facts;
  const inner = isObject(config['text_config']) ? config['text_config'] : {};
  const lookup = (key: string): unknown => config[key] ?? inner[key];
  const number = (...keys: string[]): number | null => {
    for (const key of keys) {
      const value = lookup(key);
      if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
    }
    return null;
  };
  const architectures = lookup('architectures');
  const type = lookup('model_type');
  return {
    model_type: typeof type === 'string' ? type : null,
    architecture: Array.isArray(architectures) && typeof architectures[0] === 'string' ? architectures[0] : null,
    quantization: quantizationText(lookup('quantization')) ?? quantizationText(lookup('quantization_config')),
    context_length: number('max_position_embeddings', 'n_positions', 'context_length', 'max_sequence_length', 'seq_len'),
    vocab_size: number('vocab_size'),
    hidden_size: number('hidden_size'),
    num_attention_heads: number('num_attention_heads'),
    num_hidden_layers: number('num_hidden_layers'),
  };
}

const quantizationText = (value: unknown): string | null => (isObject(value) && typeof value['bits'] === 'number' ? `${value['bits']}bit` : null);

async function configOf(judgement: Judgement): Promise<Record<string, unknown> | null> {
  const json = await judgement.view.json('config.json');
  return json.kind === 'value' && isObject(json.value) ? json.value : null;
}

function filesOf(judgement: Judgement): Pick<ShowData, 'files' | 'file_details'> {
  const files = judgement.view.files.map((file) => ({ path: file.path, sizeBytes: file.sizeBytes, type: fileType(file.path) }));
  return {
    files: files.map((file) => ({ name: file.path, size: sizeText(file.sizeBytes), type: file.type })),
    file_details: files.map((file) => ({ path: file.path, size_bytes: file.sizeBytes, type: file.type })),
  };
}

function fileType(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (name === 'config.json') return 'config';
  if (/\.(safetensors|bin|gguf)$/.test(name)) return 'weights';
  if (name.includes('tokenizer')) return 'tokenizer';
  if (name.endsWith('.json')) return 'config';
  return name === 'README.md' ? 'readme' : 'other';
}
