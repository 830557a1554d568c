import { HearthError } from '../../core/index.ts';
import { DTYPE_BITS, type Dtype } from '../safetensors/index.ts';
import { familyRules } from './family-forms.ts';
import { pick, stack, type TensorStream } from './tensor-stream.ts';

/**
 * Checkpoints of other tools keep experts one by one, or two projections in one tensor; MLX models have one stack per projection
 * (docs/spec/formats.md §2.3). Names that need no change pass through.
 */
export interface CheckpointForm {
  readonly tensors: readonly TensorStream[];
  /** Whether anything has another name or shape than in the source. */
  readonly changed: boolean;
  readonly dropped: readonly string[];
}

type Rename = readonly [expert: RegExp, stack: (layer: string, projection: string) => string];

const PROJECTION: Readonly<Record<string, string>> = { w1: 'gate_proj', w2: 'down_proj', w3: 'up_proj', up_proj: 'fc1', down_proj: 'fc2' };
/** `<layer>.<E>.<projection>.<leaf>`: layer, number, projection, leaf. */
const EXPERTS: readonly Rename[] = [
  [/^(.*\.block_sparse_moe)\.experts\.(\d+)\.(w[123])\.(weight|scales|biases)$/, (layer, projection) => `${layer}.switch_mlp.${PROJECTION[projection]}`],
  // nemotron_h has no gates.
  [/^(.*\.mixer)\.experts\.(\d+)\.((?:up|down)_proj)\.(weight|scales|biases)$/, (layer, projection) => `${layer}.switch_mlp.${PROJECTION[projection]}`],
  [/^(.*\.(?:mlp|feed_forward))\.experts\.(\d+)\.((?:gate|up|down)_proj)\.(weight|scales|biases)$/, (layer, projection) => `${layer}.switch_mlp.${projection}`],
];

/** Precomputed rotations, and the parts of a multimodal model that text does not need. */
const DROPPED = /(\.rotary_emb\.inv_freq$|^(?:model\.)?(?:vision_tower|multi_modal_projector|vision_model|audio_tower)\.)/;

export function checkpointForm(source: readonly TensorStream[], config: Readonly<Record<string, unknown>>): CheckpointForm {
  const tied = isTied(config);
  const rules = familyRules(config, source);
  const dropped: string[] = [];
  const stacks = new Map<string, Map<number, TensorStream>>();
  const out: TensorStream[] = [];
  let changed = false;
  const named = source.flatMap((tensor) => {
    const made = rules.reduce<readonly TensorStream[]>((current, rule) => current.flatMap(rule), [tensor]);
    if (made.length === 0) dropped.push(tensor.name);
    else changed ||= made.length !== 1 || made[0] !== tensor;
    return made;
  });
  for (const tensor of named) {
    if (DROPPED.test(tensor.name) || (tied && /(^|\.)lm_head\.weight$/.test(tensor.name))) {
      dropped.push(tensor.name);
      continue;
    }
    const member = expertOf(tensor.name);
    if (member !== undefined) {
      const found = stacks.get(member.name) ?? new Map<number, TensorStream>();
      stacks.set(member.name, found.set(member.expert, tensor));
      changed = true;
      continue;
    }
    const parts = splitFused(tensor);
    changed ||= parts.length !== 1 || parts[0] !== tensor;
    out.push(...parts);
  }
  for (const [name, members] of stacks) out.push(stack(name, inOrder(name, members)));
  return { tensors: out, changed, dropped };
}

function isTied(config: Readonly<Record<string, unknown>>): boolean {
  const text = config['text_config'];
  return (
    config['tie_word_embeddings'] === true || (typeof text === 'object' && text !== null && 'tie_word_embeddings' in text && text.tie_word_embeddings === true)
  );
}

function expertOf(name: string): { readonly name: string; readonly expert: number } | undefined {
  for (const [expression, rename] of EXPERTS) {
    const [, layer, expert, projection, leaf] = expression.exec(name) ?? [];
    if (layer !== undefined) return { name: `${rename(layer, projection!)}.${leaf}`, expert: Number(expert) };
  }
  return undefined;
}

function inOrder(name: string, members: ReadonlyMap<number, TensorStream>): TensorStream[] {
  const first = members.get(0);
  return Array.from({ length: members.size }, (_, expert) => {
    const tensor = members.get(expert);
    if (tensor === undefined || String(tensor.shape) !== String(first?.shape) || tensor.dtype !== first?.dtype)
      throw new HearthError('convert_unknown_tensor', `The ${members.size} experts that make ${name} are not numbered from 0, or differ in shape or type.`);
    return tensor;
  });
}

/** Tensors that hold two projections: halves one after the other (granitemoe, qwen3_5_moe), or rows in turn (gpt_oss). */
function splitFused(tensor: TensorStream): readonly TensorStream[] {
  const { name } = tensor;
  const granite = /^(.*\.block_sparse_moe)\.(input|output)_linear\.weight$/.exec(name);
  if (granite !== null) {
    if (granite[2] === 'output') return [{ ...tensor, name: `${granite[1]}.switch_mlp.down_proj.weight` }];
    return [halves(tensor, `${granite[1]}.switch_mlp.gate_proj.weight`, 0), halves(tensor, `${granite[1]}.switch_mlp.up_proj.weight`, 1)];
  }
  const fused = /^(.*\.mlp)\.experts\.(gate_up|down)_proj$/.exec(name);
  if (fused !== null && tensor.shape.length === 3 && name.startsWith('language_model.')) {
    if (fused[2] === 'down') return [{ ...tensor, name: `${fused[1]}.switch_mlp.down_proj.weight` }];
    return [halves(tensor, `${fused[1]}.switch_mlp.gate_proj.weight`, 0), halves(tensor, `${fused[1]}.switch_mlp.up_proj.weight`, 1)];
  }
  const oss = /^(.*\.mlp\.experts)\.(gate_up|down)_proj_(blocks|scales|bias)$/.exec(name);
  if (oss === null) return [tensor];
  const leaf = oss[3] === 'blocks' ? 'weight' : oss[3]!;
  const words = oss[3] === 'blocks' ? asWords(tensor) : tensor;
  if (oss[2] === 'down') return [{ ...words, name: `${oss[1]}.down_proj.${leaf}` }];
  return [everySecond(words, `${oss[1]}.gate_proj.${leaf}`, 0), everySecond(words, `${oss[1]}.up_proj.${leaf}`, 1)];
}

const bytesOf = (dtype: Dtype, elements: number): number => (elements * DTYPE_BITS[dtype]) / 8;

/** [E, 2·rows, columns] → [E, rows, columns]. */
function halves(tensor: TensorStream, name: string, which: 0 | 1): TensorStream {
  const [experts = 0, rows = 0, columns = 0] = tensor.shape;
  const unitBytes = bytesOf(tensor.dtype, rows * columns);
  return pick(tensor, { name, dtype: tensor.dtype, shape: [experts, rows / 2, columns] }, { unitBytes, pieceBytes: unitBytes / 2, take: (i) => i === which });
}

/** [E, 2·rows, …] → [E, rows, …], the rows of one parity. */
function everySecond(tensor: TensorStream, name: string, parity: 0 | 1): TensorStream {
  const [experts = 0, rows = 0, ...rest] = tensor.shape;
  const pieceBytes = bytesOf(
    tensor.dtype,
    rest.reduce((product, dimension) => product * dimension, 1),
  );
  const cut = { unitBytes: rows * pieceBytes, pieceBytes, take: (i: number) => i % 2 === parity };
  return pick(tensor, { name, dtype: tensor.dtype, shape: [experts, rows / 2, ...rest] }, cut);
}

/** U8 [E, rows, blocks, 16] → U32 [E, rows, blocks · 4]: the bytes are those of MLX already. */
function asWords(tensor: TensorStream): TensorStream {
  const [experts = 0, rows = 0, blocks = 0, bytes = 0] = tensor.shape;
  return { ...tensor, dtype: 'U32', shape: [experts, rows, (blocks * bytes) / 4] };
}
