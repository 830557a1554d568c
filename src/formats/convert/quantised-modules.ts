import type { Quantization } from '../mlx/index.ts';

type Config = Readonly<Record<string, unknown>>;

/** mlx-lm's default, and the group of what it keeps at 8 bits whatever the others have. */
export const QUANTISE_GROUP = 64;

interface ModuleRule {
  /** Modules that mlx-lm keeps at 8 bits: routers, and layers whose numbers are small. */
  readonly eightBits?: RegExp;
  /** Matrices that are no linear layer there, and stay plain. */
  readonly plain?: RegExp;
}

/** What mlx-lm 0.32 says per family, where it says anything. */
const RULES: Readonly<Record<string, ModuleRule>> = {
  granite: { eightBits: /(\.self_attn\.o_proj|mlp\.down_proj|^lm_head)$/ },
  granitemoe: { eightBits: /(\.block_sparse_moe\.router\.layer|\.self_attn\.o_proj|mlp\.down_proj|^lm_head)$/ },
  granitemoehybrid: { eightBits: /\.router\.layer$/ },
  qwen3_moe: { eightBits: /\.mlp\.gate$/ },
  qwen3_next: { eightBits: /\.(mlp\.gate|shared_expert_gate)$/ },
  qwen3_5: { eightBits: /\.(mlp\.gate|shared_expert_gate)$/ },
  qwen3_5_moe: { eightBits: /\.(mlp\.gate|shared_expert_gate)$/ },
  gpt_oss: { eightBits: /\.router$/ },
  lfm2_moe: { eightBits: /\.feed_forward\.gate$/ },
  deepseek_v2: { plain: /\.mlp\.gate$/ },
  deepseek_v3: { plain: /\.mlp\.gate$/ },
  glm4_moe: { plain: /\.mlp\.gate$/ },
};

/** Encoders are small, and mlx-lm does not know them. */
const NEVER = /^(bert|roberta|xlm-roberta|modernbert|nomic_bert)$/;

/** What a matrix becomes that is quantised as `wanted`; null = it stays plain. Exactly the choice of mlx-lm's `convert`. */
export function quantisedAs(config: Config, path: string, shape: readonly number[], wanted: Quantization): Quantization | null {
  const type = String(config['model_type']);
  const columns = shape.at(-1)!;
  const isStack = shape.length === 3 && /\.(switch_mlp|experts)\.|\.(embed_q|unembed_out)$/.test(path);
  if (NEVER.test(type) || columns % wanted.group !== 0 || (shape.length !== 2 && !isStack)) return null;
  const text = config['text_config'];
  const inner = typeof text === 'object' && text !== null ? String((text as Config)['model_type']) : '';
  const rule = RULES[type] ?? RULES[inner.replace(/_text$/, '')] ?? {};
  if (rule.plain?.test(path) === true) return null;
  if (rule.eightBits?.test(path) !== true) return wanted;
  return columns % QUANTISE_GROUP === 0 ? { mode: 'affine', bits: 8, group: QUANTISE_GROUP } : null;
}
