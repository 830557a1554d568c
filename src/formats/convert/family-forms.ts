import { decodeFloats, encodeFloats, isFloatDtype } from '../safetensors/index.ts';
import type { TensorStream } from './tensor-stream.ts';

type Config = Readonly<Record<string, unknown>>;

/** What one tensor of a checkpoint of transformers is in MLX: itself, others, or nothing. */
export type FormRule = (tensor: TensorStream) => readonly TensorStream[];

/** The rules of mlx-lm for the families that need more than stacked experts (its `sanitize` functions). */
export function familyRules(config: Config, tensors: readonly TensorStream[]): readonly FormRule[] {
  const text = (typeof config['text_config'] === 'object' && config['text_config'] !== null ? config['text_config'] : config) as Config;
  const type = String(config['model_type']);
  // Where a convolution has the axes of transformers, norms are their distance from one too.
  const isRaw = tensors.some(({ name, shape }) => name.endsWith('conv1d.weight') && shape.length === 3 && shape[2] !== 1);
  const prefix = PREFIXES[type];
  return [
    ...(prefix === undefined ? [] : [prefix]),
    keep((name) => !EXTRA.test(name) && (type !== 'ernie4_5_moe' || !name.includes('e_score_correction_bias'))),
    swapConvolutionAxes,
    ...(isRaw && /^qwen3_(next|5|5_moe)(_text)?$/.test(type) ? [wholeNorms] : []),
    ...(type === 'lfm2_moe' ? [namedNetworks] : []),
    ...(type === 'granitemoehybrid' && !text['num_local_experts'] ? [denseHalves] : []),
    ...(type === 'deepseek_v3' ? [latentMaps(text), keep(withinLayers(text['num_hidden_layers']))] : []),
  ];
}

/** Further tokens at once: layers that are not run. */
const EXTRA = /(^|\.)(mtp|mtp_block|mtp_linear_proj|mtp_hidden_norm|mtp_emb_norm)\.|^model\.visual\./;

const keep =
  (wanted: (name: string) => boolean): FormRule =>
  (tensor) =>
    wanted(tensor.name) ? [tensor] : [];

const rename =
  (to: (name: string) => string): FormRule =>
  (tensor) => [to(tensor.name) === tensor.name ? tensor : { ...tensor, name: to(tensor.name) }];

/** Where newer versions of transformers put the text model of a multimodal one. */
const inner = (name: string): string => name.replace(/^model\.language_model\./, 'language_model.model.');
const qwenPrefix = rename((name) =>
  /^(language_model|model\.language_model|model\.visual|vision_tower)\./.test(name) ? inner(name) : `language_model.${name}`,
);
const otherPrefix = rename((name) => inner(name).replace(/^lm_head\./, 'language_model.lm_head.'));
const PREFIXES: Readonly<Record<string, FormRule>> = { qwen3_5: qwenPrefix, qwen3_5_moe: qwenPrefix, gemma3: otherPrefix, mistral3: otherPrefix };

const NETWORK: Readonly<Record<string, string>> = { w1: 'gate_proj', w2: 'down_proj', w3: 'up_proj' };
const namedNetworks = rename((name) => name.replace(/\.(w[123])\.weight$/, (_, part: string) => `.${NETWORK[part]}.weight`));

/** [channels, 1, kernel] → [channels, kernel, 1]: the same bytes. */
const swapConvolutionAxes: FormRule = (tensor) => {
  const [channels = 0, one = 0, kernel = 0] = tensor.shape;
  const isRaw = /\.(conv1d|conv\.conv)\.weight$/.test(tensor.name) && tensor.shape.length === 3 && one === 1 && kernel !== 1;
  return [isRaw ? { ...tensor, shape: [channels, kernel, 1] } : tensor];
};

const WHOLE_NORMS = /(\.input_layernorm|\.post_attention_layernorm|model\.norm|\.q_norm|\.k_norm)\.weight$/;

const wholeNorms: FormRule = (tensor) => {
  const { dtype, shape } = tensor;
  if (!WHOLE_NORMS.test(tensor.name) || shape.length !== 1 || !isFloatDtype(dtype)) return [tensor];
  async function* data(): AsyncGenerator<Uint8Array> {
    for await (const bytes of tensor.data())
      yield encodeFloats(
        dtype as 'F32',
        decodeFloats(dtype as 'F32', bytes).map((x) => x + 1),
      );
  }
  return [{ ...tensor, data }];
};

/** Of a hybrid without experts, the shared network is the network: its first matrix holds gate and up. */
const denseHalves: FormRule = (tensor) => {
  const [, layer, part] = /^(.*)\.shared_mlp\.(input|output)_linear\.weight$/.exec(tensor.name) ?? [];
  if (layer === undefined) return [tensor];
  if (part === 'output') return [{ ...tensor, name: `${layer}.mlp.down_proj.weight` }];
  const [rows = 0, columns = 0] = tensor.shape;
  const half = (name: string, which: 0 | 1): TensorStream => ({
    ...tensor,
    name: `${layer}.mlp.${name}.weight`,
    shape: [rows / 2, columns],
    async *data() {
      const bytes = await whole(tensor);
      yield bytes.subarray((which * bytes.length) / 2, ((which + 1) * bytes.length) / 2);
    },
  });
  return [half('gate_proj', 0), half('up_proj', 1)];
};

/** `kv_b_proj` [heads · (plain + value), latent] is two maps per head: plain → latent, turned, and latent → value. */
function latentMaps(config: Config): FormRule {
  const [plain, value] = [Number(config['qk_nope_head_dim']), Number(config['v_head_dim'])];
  return (tensor) => {
    const [, at] = /^(.*)\.kv_b_proj\.weight$/.exec(tensor.name) ?? [];
    if (at === undefined || !isFloatDtype(tensor.dtype)) return [tensor];
    const [rows = 0, latent = 0] = tensor.shape;
    const heads = rows / (plain + value);
    const size = tensor.dtype === 'F32' ? 4 : 2;
    async function* toLatent(): AsyncGenerator<Uint8Array> {
      const bytes = await whole(tensor);
      const out = new Uint8Array(heads * latent * plain * size);
      for (let head = 0; head < heads; head++)
        for (let row = 0; row < plain; row++)
          for (let column = 0; column < latent; column++) {
            const from = ((head * (plain + value) + row) * latent + column) * size;
            out.set(bytes.subarray(from, from + size), ((head * latent + column) * plain + row) * size);
          }
      yield out;
    }
    async function* toValue(): AsyncGenerator<Uint8Array> {
      const bytes = await whole(tensor);
      for (let head = 0; head < heads; head++)
        yield bytes.subarray((head * (plain + value) + plain) * latent * size, (head + 1) * (plain + value) * latent * size);
    }
    return [
      { ...tensor, name: `${at}.embed_q.weight`, shape: [heads, latent, plain], data: toLatent },
      { ...tensor, name: `${at}.unembed_out.weight`, shape: [heads, value, latent], data: toValue },
    ];
  };
}

const withinLayers = (layers: unknown) => (name: string) => {
  const number = /^model\.layers\.(\d+)\./.exec(name)?.[1];
  return number === undefined || typeof layers !== 'number' || Number(number) < layers;
};

async function whole(tensor: TensorStream): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const bytes of tensor.data()) pieces.push(bytes);
  return Buffer.concat(pieces);
}
