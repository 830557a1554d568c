import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeFloats, type TensorSource, writeShardedCheckpoint } from '../../src/formats/safetensors/index.ts';

/** Tiny float32 checkpoints of every family that has a mapping to GGUF: MLX's names, settings that GGUF can hold, random numbers. */
const HIDDEN = 64;
const HEADS = 4;
const KV = 2;
const HEAD_DIM = 16;
const MLP = 96;
const EXPERTS = 3;
export const FAMILY_VOCABULARY = 288;

type Config = Readonly<Record<string, unknown>>;
type Shapes = Readonly<Record<string, readonly number[]>>;

const BASE: Config = {
  hidden_size: HIDDEN,
  num_hidden_layers: 2,
  intermediate_size: MLP,
  num_attention_heads: HEADS,
  num_key_value_heads: KV,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  max_position_embeddings: 512,
  vocab_size: FAMILY_VOCABULARY,
  tie_word_embeddings: false,
  hidden_act: 'silu',
  torch_dtype: 'float32',
};
const HALF: readonly number[] = [1, 1, 1.05, 1.1, 1.2, 1.4, 1.7, 2];
const GEMMA: Config = {
  head_dim: HEAD_DIM * 2,
  hidden_activation: 'gelu_pytorch_tanh',
  query_pre_attn_scalar: HEAD_DIM * 2,
  hidden_act: undefined,
  tie_word_embeddings: undefined,
};
const GRANITE: Config = { attention_multiplier: 0.3, embedding_multiplier: 3, residual_multiplier: 0.6, logits_scaling: 2 };

export const FAMILY_CONFIGS: Readonly<Record<string, Config>> = {
  llama: { model_type: 'llama', head_dim: HEAD_DIM * 2 },
  mixtral: { model_type: 'mixtral', num_local_experts: EXPERTS, num_experts_per_tok: 2 },
  qwen2: { model_type: 'qwen2', tie_word_embeddings: true },
  qwen3: { model_type: 'qwen3', head_dim: HEAD_DIM * 2 },
  qwen3_moe: {
    model_type: 'qwen3_moe',
    head_dim: HEAD_DIM * 2,
    num_experts: EXPERTS,
    num_experts_per_tok: 2,
    moe_intermediate_size: 32,
    norm_topk_prob: true,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
  },
  gemma2: { ...GEMMA, model_type: 'gemma2', attn_logit_softcapping: 5, final_logit_softcapping: 8, sliding_window: 512 },
  gemma3_text: {
    ...GEMMA,
    model_type: 'gemma3_text',
    num_hidden_layers: 7,
    sliding_window: 8,
    rope_theta: 1_000_000,
    rope_local_base_freq: 10_000,
    sliding_window_pattern: 6,
  },
  phi3: { model_type: 'phi3', original_max_position_embeddings: 512, sliding_window: 512 },
  'phi3-longrope': {
    model_type: 'phi3',
    max_position_embeddings: 1024,
    original_max_position_embeddings: 8,
    rope_scaling: { type: 'longrope', short_factor: HALF, long_factor: HALF.map((factor, i) => factor + i / 2) },
  },
  smollm3: { model_type: 'smollm3', num_hidden_layers: 5, no_rope_layer_interval: 4 },
  granite: { ...GRANITE, model_type: 'granite' },
  granitemoe: { ...GRANITE, model_type: 'granitemoe', num_local_experts: EXPERTS, num_experts_per_tok: 2 },
  olmo2: { model_type: 'olmo2' },
  gpt_oss: {
    model_type: 'gpt_oss',
    head_dim: HEAD_DIM * 2,
    num_hidden_layers: 3,
    num_local_experts: EXPERTS,
    num_experts_per_tok: 2,
    sliding_window: 8,
    layer_types: ['sliding_attention', 'full_attention', 'sliding_attention'],
    rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 128, beta_fast: 32, beta_slow: 1, truncate: false },
  },
};

export const familyConfig = (name: string): Config =>
  Object.fromEntries(Object.entries({ ...BASE, ...FAMILY_CONFIGS[name] }).filter(([, value]) => value !== undefined));

/** Names and shapes of all tensors. */
export function familyTensors(name: string): Shapes {
  const config = familyConfig(name);
  const type = String(config['model_type']);
  const headDim = (config['head_dim'] as number | undefined) ?? HEAD_DIM;
  const layers = config['num_hidden_layers'] as number;
  const shapes: Record<string, readonly number[]> = { 'model.embed_tokens.weight': [FAMILY_VOCABULARY, HIDDEN], 'model.norm.weight': [HIDDEN] };
  if (config['tie_word_embeddings'] === false) shapes['lm_head.weight'] = [FAMILY_VOCABULARY, HIDDEN];
  for (let layer = 0; layer < layers; layer++)
    for (const [leaf, shape] of Object.entries(layerShapes(type, config, headDim))) shapes[`model.layers.${layer}.${leaf}`] = shape;
  return shapes;
}

function layerShapes(type: string, config: Config, headDim: number): Shapes {
  const isGemma = type.startsWith('gemma');
  const norms =
    type === 'olmo2' ? ['post_attention', 'post_feedforward'] : ['input', 'post_attention', ...(isGemma ? ['pre_feedforward', 'post_feedforward'] : [])];
  return {
    ...Object.fromEntries(norms.map((norm) => [`${norm}_layernorm.weight`, [HIDDEN]])),
    ...attentionShapes(type, headDim),
    ...networkShapes(type, config),
  };
}

function attentionShapes(type: string, headDim: number): Shapes {
  const [q, kv] = [HEADS * headDim, KV * headDim];
  if (type === 'phi3') return { 'self_attn.qkv_proj.weight': [q + 2 * kv, HIDDEN], 'self_attn.o_proj.weight': [HIDDEN, q] };
  const shapes: Record<string, readonly number[]> = {
    'self_attn.q_proj.weight': [q, HIDDEN],
    'self_attn.k_proj.weight': [kv, HIDDEN],
    'self_attn.v_proj.weight': [kv, HIDDEN],
    'self_attn.o_proj.weight': [HIDDEN, q],
  };
  if (type === 'qwen2' || type === 'gpt_oss')
    for (const [part, size] of [
      ['q', q],
      ['k', kv],
      ['v', kv],
    ] as const)
      shapes[`self_attn.${part}_proj.bias`] = [size];
  if (type === 'gpt_oss') Object.assign(shapes, { 'self_attn.o_proj.bias': [HIDDEN], 'self_attn.sinks': [HEADS] });
  if (type.startsWith('qwen3') || type === 'gemma3_text') Object.assign(shapes, { 'self_attn.q_norm.weight': [headDim], 'self_attn.k_norm.weight': [headDim] });
  if (type === 'olmo2') Object.assign(shapes, { 'self_attn.q_norm.weight': [q], 'self_attn.k_norm.weight': [kv] });
  return shapes;
}

const STACKS: Readonly<Record<string, readonly [router: string, experts: string]>> = {
  mixtral: ['block_sparse_moe.gate', 'block_sparse_moe.switch_mlp'],
  granitemoe: ['block_sparse_moe.router.layer', 'block_sparse_moe.switch_mlp'],
  qwen3_moe: ['mlp.gate', 'mlp.switch_mlp'],
  gpt_oss: ['mlp.router', 'mlp.experts'],
};

function networkShapes(type: string, config: Config): Shapes {
  if (type === 'phi3') return { 'mlp.gate_up_proj.weight': [2 * MLP, HIDDEN], 'mlp.down_proj.weight': [HIDDEN, MLP] };
  const stack = STACKS[type];
  if (stack === undefined) return { 'mlp.gate_proj.weight': [MLP, HIDDEN], 'mlp.up_proj.weight': [MLP, HIDDEN], 'mlp.down_proj.weight': [HIDDEN, MLP] };
  const [router, experts] = stack;
  const size = (config['moe_intermediate_size'] as number | undefined) ?? MLP;
  const shapes: Record<string, readonly number[]> = { [`${router}.weight`]: [EXPERTS, HIDDEN] };
  if (type === 'gpt_oss') shapes[`${router}.bias`] = [EXPERTS];
  for (const [part, rows, columns] of [
    ['gate', size, HIDDEN],
    ['up', size, HIDDEN],
    ['down', HIDDEN, size],
  ] as const) {
    shapes[`${experts}.${part}_proj.weight`] = [EXPERTS, rows, columns];
    if (type === 'gpt_oss') shapes[`${experts}.${part}_proj.bias`] = [EXPERTS, rows];
  }
  return shapes;
}

/** Numbers near a normal distribution, by a hash of their place: the same in every run. */
function numbers(seed: number, shape: readonly number[], size: number, around: number): Float32Array {
  const hash = (index: number): number => {
    let h = Math.imul(index, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15), 0x85ebca77);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae3d);
    return (h ^ (h >>> 16)) & 0xffff;
  };
  const count = shape.reduce((product, dimension) => product * dimension, 1);
  return Float32Array.from({ length: count }, (_, i) => {
    const at = 4 * i + seed * 1_000_003;
    return around + (size * (hash(at) + hash(at + 1) + hash(at + 2) + hash(at + 3) - 131_070)) / 37_837;
  });
}

export interface FamilyChanges {
  readonly change?: (config: Record<string, unknown>) => Record<string, unknown>;
  /** Names of further tensors. */
  readonly more?: readonly string[];
}

/** Writes config.json and weights. */
export async function makeFamilyCheckpoint(name: string, directory: string, { change, more = [] }: FamilyChanges = {}): Promise<void> {
  await mkdir(directory, { recursive: true });
  const isGemma = name.startsWith('gemma');
  const tensors = Object.entries(familyTensors(name)).map(([tensor, shape], seed): TensorSource => {
    const isNorm = tensor.endsWith('norm.weight');
    const around = isNorm && !isGemma ? 1 : 0;
    const size = isNorm
      ? 0.2
      : shape.length === 1 || tensor.endsWith('.bias')
        ? 0.5
        : tensor.includes('embed')
          ? isGemma
            ? 0.3
            : 1
          : 1.5 / Math.sqrt(shape.at(-1)!);
    return { name: tensor, dtype: 'F32', shape, data: encodeFloats('F32', numbers(seed, shape, size, around)) };
  });
  for (const extra of more) tensors.push({ name: extra, dtype: 'F32', shape: [1], data: new Uint8Array(4) });
  await writeShardedCheckpoint(directory, tensors);
  const config = familyConfig(name);
  await writeFile(join(directory, 'config.json'), `${JSON.stringify(change?.({ ...config }) ?? config, null, 2)}\n`);
}
