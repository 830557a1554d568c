import { openSafetensors } from '../../formats/index.ts';
import { isObject } from '../health/json-value.ts';
import type { ModelFile, ModelView } from '../model-view.ts';
import { type GgufMetadata, readGgufMetadata } from './gguf-metadata.ts';

/** What the list and the gate need of weight headers. */

export interface GgufSummary {
  readonly architecture: string;
  /** The header in the words of a config.json, for metadata and estimates. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly chatTemplate: string | null;
  readonly pooling: boolean;
}

const PLAIN_DTYPES: ReadonlySet<string> = new Set(['F32', 'F16', 'BF16']);
/** Codes, zeros, shapes and scales of AWQ, GPTQ, compressed-tensors and MXFP4 checkpoints. */
const CODE_DTYPES: ReadonlySet<string> = new Set([...PLAIN_DTYPES, 'I32', 'U32', 'I64', 'U8', 'F8_E8M0']);

export async function summariseGguf(file: ModelFile): Promise<GgufSummary | null> {
  const metadata = await readGgufMetadata(file.realPath);
  const architecture = metadata?.get('general.architecture');
  if (metadata === null || typeof architecture !== 'string' || !/^[a-z0-9_-]{1,64}$/.test(architecture)) return null;
  const template = metadata.get('tokenizer.chat_template');
  return {
    architecture,
    config: configOf(metadata, architecture),
    chatTemplate: typeof template === 'string' && template !== '' ? template : null,
    pooling: metadata.has(`${architecture}.pooling_type`),
  };
}

function configOf(metadata: GgufMetadata, architecture: string): Record<string, unknown> {
  const number = (key: string): number | undefined => {
    const value = metadata.get(`${architecture}.${key}`);
    return typeof value === 'bigint' ? Number(value) : typeof value === 'number' ? value : undefined;
  };
  const tokens = metadata.get('tokenizer.ggml.tokens');
  const entries: [string, unknown][] = [
    ['model_type', architecture],
    ['max_position_embeddings', number('context_length')],
    ['vocab_size', number('vocab_size') ?? (isObject(tokens) ? tokens['arrayLength'] : undefined)],
    ['hidden_size', number('embedding_length')],
    ['intermediate_size', number('feed_forward_length')],
    ['num_hidden_layers', number('block_count')],
    ['num_attention_heads', number('attention.head_count')],
    ['num_key_value_heads', number('attention.head_count_kv') ?? number('attention.head_count')],
    ['head_dim', number('attention.key_length')],
    ['rope_theta', number('rope.freq_base')],
    ['rms_norm_eps', number('attention.layer_norm_rms_epsilon')],
  ];
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/** `__metadata__.format` of a safetensors file, or null when the strict parse refuses the file. */
export async function safetensorsFormat(file: ModelFile): Promise<string | null> {
  try {
    await using opened = await openSafetensors(file.realPath);
    return opened.metadata?.['format'] ?? null;
  } catch {
    return null;
  }
}

/**
 * Whether every weight file is safetensors with plain floating-point tensors, or with codes where the config says how they are to be read
 * (an engine judges that): the only PyTorch models that are ever loaded.
 */
export async function loadableSafetensors(view: ModelView, weightFiles: readonly string[], config: Readonly<Record<string, unknown>>): Promise<boolean> {
  const dtypes = isObject(config['quantization_config']) ? CODE_DTYPES : PLAIN_DTYPES;
  for (const path of weightFiles) {
    const file = view.find(path);
    if (file === undefined || !path.endsWith('.safetensors')) return false;
    try {
      await using opened = await openSafetensors(file.realPath);
      for (const tensor of opened.tensors.values()) if (!dtypes.has(tensor.dtype)) return false;
    } catch {
      return false;
    }
  }
  return weightFiles.length > 0;
}
