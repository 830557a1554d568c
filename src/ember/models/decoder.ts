import { attention, gated, linear, preNorm, rmsNorm } from './blocks.ts';
import { flag, integer, positive, wrongValue } from './config-keys.ts';
import type { Attention, Branch, GatedNetwork, Layer, ModelConfig, ModelGraph, Norm, Rope } from './model-graph.ts';
import { ROPE_KEYS, readRope } from './rope.ts';

/** Keys that `decoder` reads, common to most decoders. */
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

/** Sizes that decoders share. */
export interface DecoderShape {
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly layers: number;
  readonly epsilon: number;
}

/** The layer that architectures change: norm, attention with rotary embedding and grouped heads, norm, gated SiLU network. */
export interface LlamaLayer extends Layer {
  readonly mixer: Branch<Attention>;
  readonly feedForward: Branch<GatedNetwork>;
}

export interface DecoderTraits {
  /** Where config.json has none. */
  readonly theta: number;
  readonly maxPositions: number;
  readonly tied: boolean;
  readonly epsilon?: number;
  /** Start of all tensor names, such as `language_model.`. */
  readonly prefix?: string;
  readonly biases?: { readonly qkv: boolean; readonly output: boolean; readonly mlp: boolean };
  /** Names that the config may give the activation; SiLU's unless said. Layers of another have to say so themselves. */
  readonly activation?: readonly string[];
  /** The checkpoint's norms hold the distance from one. */
  readonly normPlus?: 0 | 1;
  /** Instead of the one that `readRope` gives. */
  readonly ropes?: readonly Rope[];
  /** What is different in layer `index`; `path` is the layer's, such as `model.layers.3`. */
  layer?(layer: LlamaLayer, index: number, path: string, shape: DecoderShape): Layer;
}

/** Of gemma, whose configs name it in two ways. */
export const GELU_TANH: readonly string[] = ['gelu_pytorch_tanh', 'gelu_new', 'gelu_fast'];

const NO_BIASES = { qkv: false, output: false, mlp: false };

/** A decoder with the names and the order of llama. Architectures give their traits, and change what is left in the graph that comes back. */
export function decoder(config: ModelConfig, traits: DecoderTraits): ModelGraph {
  const shape = readShape(config, traits.epsilon ?? 1e-6);
  const { hidden, headDim, intermediate, vocabulary, epsilon } = shape;
  const names = traits.activation ?? ['silu', 'swish'];
  for (const key of ['hidden_act', 'hidden_activation']) {
    const named = config[key] ?? names[0];
    if (!names.includes(named as string)) throw wrongValue(key, named, names.join(' or '));
  }
  const biases = traits.biases ?? NO_BIASES;
  const root = `${traits.prefix ?? ''}model`;
  const norm = (path: string): Norm => rmsNorm(path, hidden, epsilon, traits.normPlus);
  const { rope, contextTokens } = readRope(config, headDim, traits);
  const layers = Array.from({ length: shape.layers }, (_, i) => {
    const path = `${root}.layers.${i}`;
    const layer: LlamaLayer = {
      mixer: preNorm(norm(`${path}.input_layernorm`), attention(`${path}.self_attn`, shape, biases)),
      feedForward: preNorm(norm(`${path}.post_attention_layernorm`), gated(`${path}.mlp`, hidden, intermediate, biases.mlp)),
      parallel: false,
    };
    return traits.layer?.(layer, i, path, shape) ?? layer;
  });
  const table = linear(`${root}.embed_tokens`, hidden, vocabulary);
  const tied = flag(config, 'tie_word_embeddings', traits.tied);
  return {
    hidden,
    vocabulary,
    contextTokens,
    ropes: traits.ropes ?? [rope],
    embedding: { table, factor: 1, positions: null, types: null, norm: null },
    layers,
    finalNorm: norm(`${root}.norm`),
    head: { linear: tied ? table : linear(`${traits.prefix ?? ''}lm_head`, hidden, vocabulary), factor: 1, softCap: 0 },
    otherTensors: [],
  };
}

/** Reads and checks the sizes of a decoder. */
export function readShape(config: ModelConfig, epsilon: number): DecoderShape {
  const hidden = integer(config, 'hidden_size');
  const heads = integer(config, 'num_attention_heads');
  const kvHeads = integer(config, 'num_key_value_heads', heads);
  const headDim = integer(config, 'head_dim', Math.trunc(hidden / heads));
  if (heads % kvHeads !== 0) throw wrongValue('num_key_value_heads', kvHeads, `a divisor of the ${heads} attention heads`);
  if (headDim % 8 !== 0) throw wrongValue('head_dim', headDim, 'a multiple of 8');
  return {
    hidden,
    heads,
    kvHeads,
    headDim,
    intermediate: integer(config, 'intermediate_size'),
    vocabulary: integer(config, 'vocab_size'),
    layers: integer(config, 'num_hidden_layers'),
    epsilon: positive(config, 'rms_norm_eps', epsilon),
  };
}

/** The layer with changes to its attention. */
export const withAttention = (layer: LlamaLayer, change: Partial<Attention>): LlamaLayer => ({
  ...layer,
  mixer: { ...layer.mixer, body: { ...layer.mixer.body, ...change } },
});

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
