import { flag, integer, positive, wrongValue } from './config-keys.ts';
import type { DecoderLayer, Linear, ModelConfig, ModelGraph } from './model-graph.ts';
import { ROPE_KEYS, readRope } from './rope.ts';

/** Keys that `decoder` reads, common to the llama family. */
export const DECODER_KEYS: readonly string[] = [
  ...ROPE_KEYS,
  'hidden_size',
  'num_hidden_layers',
  'intermediate_size',
  'num_attention_heads',
  'num_key_value_heads',
  'head_dim',
  'vocab_size',
  'rms_norm_eps',
  'hidden_act',
  'tie_word_embeddings',
];

interface DecoderTraits {
  readonly theta: number;
  readonly maxPositions: number;
  readonly tied: boolean;
  readonly biases: { readonly qkv: boolean; readonly output: boolean; readonly mlp: boolean };
  readonly headNorms: boolean;
  /** Window of layer i, 0 = all. */
  window(layer: number): number;
}

/** The shared graph of the llama family: pre-norm attention with rotary embedding and grouped heads, gated SiLU MLP, one final norm. */
export function decoder(config: ModelConfig, traits: DecoderTraits): ModelGraph {
  const hidden = integer(config, 'hidden_size');
  const heads = integer(config, 'num_attention_heads');
  const kvHeads = integer(config, 'num_key_value_heads', heads);
  const headDim = integer(config, 'head_dim', Math.trunc(hidden / heads));
  const intermediate = integer(config, 'intermediate_size');
  const vocabulary = integer(config, 'vocab_size');
  if (heads % kvHeads !== 0) throw wrongValue('num_key_value_heads', kvHeads, `a divisor of the ${heads} attention heads`);
  if (headDim % 8 !== 0) throw wrongValue('head_dim', headDim, 'a multiple of 8');
  const activation = config['hidden_act'] ?? 'silu';
  if (activation !== 'silu' && activation !== 'swish') throw wrongValue('hidden_act', activation, 'silu');

  const { rope, contextTokens } = readRope(config, headDim, traits);
  const layers = Array.from({ length: integer(config, 'num_hidden_layers') }, (_, i): DecoderLayer => {
    const at = `model.layers.${i}`;
    const linear = (name: string, inputs: number, outputs: number, bias: boolean): Linear => ({ path: `${at}.${name}`, inputs, outputs, bias });
    return {
      attentionNorm: `${at}.input_layernorm.weight`,
      query: linear('self_attn.q_proj', hidden, heads * headDim, traits.biases.qkv),
      key: linear('self_attn.k_proj', hidden, kvHeads * headDim, traits.biases.qkv),
      value: linear('self_attn.v_proj', hidden, kvHeads * headDim, traits.biases.qkv),
      attentionOutput: linear('self_attn.o_proj', heads * headDim, hidden, traits.biases.output),
      queryNorm: traits.headNorms ? `${at}.self_attn.q_norm.weight` : null,
      keyNorm: traits.headNorms ? `${at}.self_attn.k_norm.weight` : null,
      window: traits.window(i),
      mlpNorm: `${at}.post_attention_layernorm.weight`,
      gate: linear('mlp.gate_proj', hidden, intermediate, traits.biases.mlp),
      up: linear('mlp.up_proj', hidden, intermediate, traits.biases.mlp),
      down: linear('mlp.down_proj', intermediate, hidden, traits.biases.mlp),
    };
  });
  const embedding: Linear = { path: 'model.embed_tokens', inputs: hidden, outputs: vocabulary, bias: false };
  return {
    hidden,
    heads,
    kvHeads,
    headDim,
    intermediate,
    vocabulary,
    epsilon: positive(config, 'rms_norm_eps', 1e-6),
    attentionScale: headDim ** -0.5,
    rope,
    embedding,
    layers,
    finalNorm: 'model.norm.weight',
    head: flag(config, 'tie_word_embeddings', traits.tied) ? embedding : { ...embedding, path: 'lm_head' },
    contextTokens,
  };
}

/** Windows by `layer_types`, one entry per layer; null when the config has none. */
export function layerTypeWindows(config: ModelConfig): ((layer: number) => number) | null {
  const types = config['layer_types'] ?? null;
  if (types === null) return null;
  const count = integer(config, 'num_hidden_layers');
  if (!Array.isArray(types) || types.length !== count) throw wrongValue('layer_types', types, `a list of ${count} layers`);
  const odd = types.find((type) => type !== 'full_attention' && type !== 'sliding_attention');
  if (odd !== undefined) throw wrongValue('layer_types', odd, 'full_attention or sliding_attention');
  return (layer) => (types[layer] === 'sliding_attention' ? integer(config, 'sliding_window') : 0);
}
