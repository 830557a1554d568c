import { experts, gated, linear, rmsNorm, stack } from './blocks.ts';
import { flag, integer, numberOr, positive, wrongValue } from './config-keys.ts';
import { DECODER_KEYS, type DecoderShape, decoder } from './decoder.ts';
import type { Architecture, Experts, LatentAttention, ModelConfig } from './model-graph.ts';
import { readRope } from './rope.ts';

/** DeepSeek V3 and R1: latent attention, experts in groups beside a shared one, the first layers dense. */
export const deepseekV3: Architecture = {
  modelType: 'deepseek_v3',
  keys: [
    ...DECODER_KEYS,
    ...['q_lora_rank', 'kv_lora_rank', 'qk_rope_head_dim', 'qk_nope_head_dim', 'v_head_dim', 'attention_bias', 'moe_intermediate_size'],
    ...['n_routed_experts', 'n_shared_experts', 'num_experts_per_tok', 'routed_scaling_factor', 'norm_topk_prob', 'scoring_func', 'topk_method'],
    ...['n_group', 'topk_group', 'moe_layer_freq', 'first_k_dense_replace'],
    // Of training, of serving on several machines, and of layers that guess further tokens.
    ...['ep_size', 'seq_aux', 'aux_loss_alpha', 'num_nextn_predict_layers'],
  ],
  graph(config) {
    const shape = latentShape(config);
    const defaults = { theta: 10_000, maxPositions: 2048 };
    const { rope } = readRope({ ...config, rope_traditional: true }, shape.rotated, defaults);
    const moe = expertsOf(config);
    const first = numberOr(config, 'first_k_dense_replace', 0);
    const every = integer(config, 'moe_layer_freq', 1);
    // A cell of the cache is a head of this width, and one for all query heads.
    const sizes = { ...config, num_key_value_heads: undefined, head_dim: shape.latent + shape.rotated };
    return decoder(sizes, {
      ...defaults,
      tied: false,
      ropes: [rope],
      layer(layer, i, path, own) {
        const mixer = { ...layer.mixer, body: latentAttention(`${path}.self_attn`, own, shape, config) };
        if (moe === null || i < first || i % every !== 0) return { ...layer, mixer };
        return { ...layer, mixer, feedForward: { ...layer.feedForward, body: moe(`${path}.mlp`, own.hidden) } };
      },
    });
  },
};

function latentShape(config: ModelConfig) {
  return {
    latent: integer(config, 'kv_lora_rank', 512),
    rotated: integer(config, 'qk_rope_head_dim', 64),
    plain: integer(config, 'qk_nope_head_dim', 128),
    valueDim: integer(config, 'v_head_dim', 128),
  };
}

function latentAttention(path: string, { hidden, heads }: DecoderShape, shape: ReturnType<typeof latentShape>, config: ModelConfig): LatentAttention {
  const { latent, rotated, plain, valueDim } = shape;
  const bias = flag(config, 'attention_bias', false);
  const queryRank = config['q_lora_rank'] === null ? null : integer(config, 'q_lora_rank', 1536);
  const queryWidth = heads * (plain + rotated);
  return {
    kind: 'latent-attention',
    heads,
    ...shape,
    query: queryRank === null ? linear(`${path}.q_proj`, hidden, queryWidth) : linear(`${path}.q_b_proj`, queryRank, queryWidth),
    queryDown: queryRank === null ? null : linear(`${path}.q_a_proj`, hidden, queryRank, bias),
    queryDownNorm: queryRank === null ? null : rmsNorm(`${path}.q_a_layernorm`, queryRank, 1e-6),
    keyValue: linear(`${path}.kv_a_proj_with_mqa`, hidden, latent + rotated, bias),
    latentNorm: rmsNorm(`${path}.kv_a_layernorm`, latent, 1e-6),
    queryToLatent: stack(heads, `${path}.embed_q`, plain, latent),
    latentToValue: stack(heads, `${path}.unembed_out`, latent, valueDim),
    output: linear(`${path}.o_proj`, heads * valueDim, hidden, bias),
    rope: 0,
    scale: (plain + rotated) ** -0.5 * stretch(config),
  };
}

/** YaRN's other half: scores grow with the square of the magnitude for all dimensions. */
function stretch(config: ModelConfig): number {
  const scaling = (config['rope_scaling'] ?? config['rope_parameters'] ?? {}) as ModelConfig;
  const weight = numberOr(scaling, 'mscale_all_dim', 0);
  const factor = positive(scaling, 'factor', 1);
  return weight === 0 || factor <= 1 ? 1 : (0.1 * weight * Math.log(factor) + 1) ** 2;
}

function expertsOf(config: ModelConfig): ((path: string, hidden: number) => Experts) | null {
  if ((config['n_routed_experts'] ?? null) === null) return null;
  for (const [key, wanted] of Object.entries({ topk_method: 'noaux_tc', scoring_func: 'sigmoid' }))
    if ((config[key] ?? wanted) !== wanted) throw wrongValue(key, config[key], wanted);
  const count = integer(config, 'n_routed_experts');
  const take = integer(config, 'num_experts_per_tok', 1);
  const width = integer(config, 'moe_intermediate_size', 1407);
  const sharedCount = (config['n_shared_experts'] ?? null) === null ? 0 : integer(config, 'n_shared_experts');
  const groups = { count: integer(config, 'n_group', 1), take: integer(config, 'topk_group', 1) };
  if (count % groups.count !== 0 || (groups.count > 1 && count / groups.count < 2)) throw wrongValue('n_group', groups.count, `a divisor of ${count} experts`);
  const normalise = take > 1 && flag(config, 'norm_topk_prob', true);
  const factor = positive(config, 'routed_scaling_factor', 1);
  return (path, hidden) => {
    const body = experts(`${path}.gate`, `${path}.switch_mlp`, hidden, width, count, { take, score: 'sigmoid', normalise });
    const router = { ...body.router, factor, groups, correction: `${path}.gate.e_score_correction_bias` };
    return { ...body, router, shared: sharedCount === 0 ? null : gated(`${path}.shared_experts`, hidden, width * sharedCount) };
  };
}
