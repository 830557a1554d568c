import { fused, linear, preNorm } from './blocks.ts';
import { flag, integer, isInert, refuseUnknownKeys, wrongValue } from './config-keys.ts';
import { DECODER_KEYS, type DecoderShape, decoder } from './decoder.ts';
import { textConfig } from './gemma2.ts';
import type { Architecture, GatedDelta, ModelConfig, ModelGraph } from './model-graph.ts';
import { DELTA_KEYS, deltaLayer, deltaSizes, qwenExperts } from './qwen3-next.ts';

const TEXT_KEYS: readonly string[] = [
  ...DECODER_KEYS,
  ...DELTA_KEYS,
  // What guesses further tokens is not run, and states are always float32.
  ...['layer_types', 'attn_output_gate', 'mamba_ssm_dtype', 'mtp_num_hidden_layers', 'mtp_use_dedicated_embeddings'],
];
const OUTER_KEYS = ['text_config', 'vision_config', 'image_token_id', 'video_token_id', 'vision_start_token_id', 'vision_end_token_id', 'tie_word_embeddings'];

/** Qwen 3.5, the text part of the multimodal models: the gated delta rule in most layers, gated attention in the others. */
export const qwen35: Architecture = { modelType: 'qwen3_5', keys: [...new Set([...OUTER_KEYS, ...TEXT_KEYS])], graph };

/** The same with experts. */
export const qwen35Moe: Architecture = { ...qwen35, modelType: 'qwen3_5_moe' };

function graph(config: ModelConfig): ModelGraph {
  // As mlx-lm, a config without a text_config is one itself.
  const text = isInert(config['text_config']) ? config : textConfig(config);
  refuseUnknownKeys({ modelType: String(text['model_type']), keys: [...TEXT_KEYS, ...(text === config ? OUTER_KEYS : [])] }, text);
  if (!flag(text, 'attn_output_gate', true)) throw wrongValue('attn_output_gate', false, 'true');
  checkLayerTypes(text);
  // The sections of a rope are of images: a text's positions are the same in all of them.
  const { mrope_section: _, mrope_interleaved: __, ...rope } = (text['rope_parameters'] ?? {}) as Record<string, unknown>;
  const bias = flag(text, 'attention_bias', false);
  const made = decoder(
    { ...text, rope_parameters: { rope_theta: 100_000, partial_rotary_factor: 0.25, ...rope } },
    {
      theta: 100_000,
      maxPositions: 131_072,
      tied: false,
      prefix: 'language_model.',
      biases: { qkv: bias, output: bias, mlp: false },
      layer(layer, i, path, shape) {
        const own = deltaLayer(layer, i, path, shape, text, (at) => apart(at, shape, text));
        const sparse = !isInert(text['num_experts']) && text['num_experts'] !== 0;
        return sparse ? { ...own, feedForward: preNorm(layer.feedForward.norm, qwenExperts(`${path}.mlp`, shape.hidden, text, true)) } : own;
      },
    },
  );
  return { ...made, otherTensors: ['vision_tower.', 'model.visual.', 'mtp.', 'language_model.mtp.'] };
}

/** `layer_types` says again what `full_attention_interval` says. */
function checkLayerTypes(text: ModelConfig): void {
  const types = text['layer_types'];
  if (isInert(types)) return;
  const interval = integer(text, 'full_attention_interval', 4);
  const wanted = Array.from({ length: integer(text, 'num_hidden_layers') }, (_, i) => ((i + 1) % interval === 0 ? 'full_attention' : 'linear_attention'));
  if (JSON.stringify(types) !== JSON.stringify(wanted)) throw wrongValue('layer_types', types, `full attention in every ${interval}th layer`);
}

function apart(path: string, { hidden }: DecoderShape, config: ModelConfig): GatedDelta['projections'] {
  const { valueHeads, keys, values } = deltaSizes(config);
  const [query, key, value] = fused(`${path}.in_proj_qkv`, hidden, [keys, keys, values]);
  return {
    kind: 'apart',
    query: query!,
    key: key!,
    value: value!,
    gate: linear(`${path}.in_proj_z`, hidden, values),
    beta: linear(`${path}.in_proj_b`, hidden, valueHeads),
    decay: linear(`${path}.in_proj_a`, hidden, valueHeads),
  };
}
