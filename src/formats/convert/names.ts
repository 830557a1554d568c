/** How the tensors of a family are called on both sides, and what its rotation needs (docs/spec/formats.md §7.1, §7.2). */
export interface Family {
  /** `general.architecture`. */
  readonly architecture: string;
  /** `model_type` values that it stands for; the first one is written on import. */
  readonly modelTypes: readonly string[];
  /** `architectures` of config.json. */
  readonly className: string;
  /** Rows of q and k are interleaved in GGUF, because its graph rotates neighbours. */
  readonly permutesHeads: boolean;
  /** Layer modules beyond those that every family has. */
  readonly extraLayers: readonly (readonly [mlx: string, gguf: string])[];
}

export const FAMILIES: readonly Family[] = [
  { architecture: 'llama', modelTypes: ['llama', 'mistral'], className: 'LlamaForCausalLM', permutesHeads: true, extraLayers: [] },
  { architecture: 'qwen2', modelTypes: ['qwen2'], className: 'Qwen2ForCausalLM', permutesHeads: false, extraLayers: [] },
  {
    architecture: 'qwen3',
    modelTypes: ['qwen3'],
    className: 'Qwen3ForCausalLM',
    permutesHeads: false,
    extraLayers: [
      ['self_attn.q_norm', 'attn_q_norm'],
      ['self_attn.k_norm', 'attn_k_norm'],
    ],
  },
];

/** `model_type` that an import writes for an architecture of GGUF. */
export const modelTypeOfGguf = (architecture: string): string | undefined => FAMILIES.find((family) => family.architecture === architecture)?.modelTypes[0];

const MODEL = [
  ['model.embed_tokens', 'token_embd'],
  ['model.norm', 'output_norm'],
  ['lm_head', 'output'],
] as const;

const LAYER = [
  ['input_layernorm', 'attn_norm'],
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.o_proj', 'attn_output'],
  ['post_attention_layernorm', 'ffn_norm'],
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
] as const;

/** Module of a tensor without its leaf, and the leaf: `model.layers.0.mlp.up_proj` and `weight`. */
export function splitLeaf(name: string): { readonly module: string; readonly leaf: string } {
  const cut = name.lastIndexOf('.');
  return { module: name.slice(0, cut), leaf: name.slice(cut + 1) };
}

/** MLX module of a GGUF one (`blk.3.attn_q` → `model.layers.3.self_attn.q_proj`), or undefined. */
export function toMlxModule(family: Family, module: string): string | undefined {
  const layer = /^blk\.(\d+)\.(.+)$/.exec(module);
  if (layer === null) return MODEL.find(([, gguf]) => gguf === module)?.[0];
  const found = [...LAYER, ...family.extraLayers].find(([, gguf]) => gguf === layer[2]);
  return found && `model.layers.${Number(layer[1])}.${found[0]}`;
}

/** GGUF module of an MLX one, or undefined. */
export function toGgufModule(family: Family, module: string): string | undefined {
  const layer = /^model\.layers\.(\d+)\.(.+)$/.exec(module);
  if (layer === null) return MODEL.find(([mlx]) => mlx === module)?.[1];
  const found = [...LAYER, ...family.extraLayers].find(([mlx]) => mlx === layer[2]);
  return found && `blk.${Number(layer[1])}.${found[1]}`;
}

/** Heads whose rows are permuted in the tensor of this MLX module; 0 = none. */
export function permutedHeads(family: Family, module: string, heads: { readonly query: number; readonly key: number }): number {
  if (!family.permutesHeads) return 0;
  if (module.endsWith('.self_attn.q_proj')) return heads.query;
  return module.endsWith('.self_attn.k_proj') ? heads.key : 0;
}

/**
 * Order of rows that GGUF's llama graph wants: `order[i]` is the MLX row at place i. Rows of a head are
 * reshaped to (2, headDim / 2) and transposed, so that the two halves of a pair become neighbours.
 */
export function rowOrder(rows: number, heads: number): Uint32Array {
  const headDim = rows / heads;
  const half = headDim / 2;
  return Uint32Array.from({ length: rows }, (_, place) => {
    const head = Math.floor(place / headDim);
    const within = place % headDim;
    return head * headDim + (within % 2) * half + Math.floor(within / 2);
  });
}
