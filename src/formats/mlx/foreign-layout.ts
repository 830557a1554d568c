import { HearthError } from '../../core/index.ts';

/** One AWQ or GPTQ module, as its file has it. AWQ: 4-bit codes, eight to a word. GPTQ: one stream of bits, least significant first. */
export interface ForeignModule {
  readonly bits: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly group: number;
  /** AWQ [inputs, outputs/8], GPTQ [inputs · bits ÷ 32, outputs]. */
  readonly qweight: Uint32Array;
  /** [inputs/group, outputs · bits ÷ 32]; absent: all zeros are 2^(bits − 1). */
  readonly qzeros?: Uint32Array;
  /** [inputs/group, outputs]. */
  readonly scales: Float32Array;
}

/** The same module with rows of outputs: codes [outputs, inputs], scales and biases [outputs, inputs/group]. */
export interface RowModule {
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
  readonly biases: Float32Array;
}

/** Nibble of a word that holds element 0 … 7: docs/spec/formats.md §2.2. */
const AWQ_NIBBLES = [0, 4, 1, 5, 2, 6, 3, 7] as const;

/** w = scale·(q − zero), kept as codes with bias −zero·scale: in float32 both are exact for 16-bit scales. */
export function fromAwq(module: ForeignModule): RowModule {
  const { inputs, outputs, qweight } = module;
  const codes = new Uint8Array(outputs * inputs);
  for (let i = 0; i < inputs; i++) for (let o = 0; o < outputs; o++) codes[o * inputs + i] = awqCode(qweight, i * outputs + o);
  return { codes, ...scalesAndBiases(module, (at) => (module.qzeros ? awqCode(module.qzeros, at) : 8)) };
}

/** `zeroOffset` is 1 for the first format of GPTQ, which stores each zero one too small, and 0 for `gptq_v2`. */
export function fromGptq(module: ForeignModule, zeroOffset: 0 | 1): RowModule {
  const { bits, inputs, outputs, qweight, qzeros } = module;
  const codes = new Uint8Array(outputs * inputs);
  for (let i = 0; i < inputs; i++) for (let o = 0; o < outputs; o++) codes[o * inputs + i] = codeOf(qweight, i, bits, outputs, o);
  return { codes, ...scalesAndBiases(module, (at) => (qzeros ? zeroCodeOf(qzeros, at, bits, outputs) + zeroOffset : 2 ** (bits - 1))) };
}

/** Element `index` of a stream of codes whose words are `stride` apart, the first at `start`. */
function codeOf(words: Uint32Array, index: number, bits: number, stride: number, start: number): number {
  const [word, shift] = [(index * bits) >>> 5, (index * bits) & 31];
  const low = words[start + word * stride]! >>> shift;
  // Codes of 3 bits may lie across two words.
  const high = shift + bits > 32 ? words[start + (word + 1) * stride]! << (32 - shift) : 0;
  return (low | high) & (2 ** bits - 1);
}

/** Zeros lie along the outputs of a group. */
const zeroCodeOf = (words: Uint32Array, at: number, bits: number, outputs: number): number =>
  codeOf(words, at % outputs, bits, 1, (Math.floor(at / outputs) * outputs * bits) / 32);

function scalesAndBiases({ inputs, outputs, group, scales }: ForeignModule, zeroOf: (at: number) => number): Pick<RowModule, 'scales' | 'biases'> {
  const groups = inputs / group;
  const rowScales = new Float32Array(outputs * groups);
  const biases = new Float32Array(outputs * groups);
  for (let g = 0; g < groups; g++)
    for (let o = 0; o < outputs; o++) {
      const scale = scales[g * outputs + o]!;
      rowScales[o * groups + g] = scale;
      biases[o * groups + g] = -zeroOf(g * outputs + o) * scale;
    }
  return { scales: rowScales, biases };
}

const awqCode = (words: Uint32Array, element: number): number => (words[element >>> 3]! >>> (AWQ_NIBBLES[element & 7]! * 4)) & 15;

/** Groups that are not neighbours would need the activations in another order. Throws `mlx_quant_unsupported`. */
export function checkGroupIndex(path: string, index: Uint32Array, group: number): void {
  const wrong = index.findIndex((value, i) => value !== Math.floor(i / group));
  if (wrong >= 0)
    throw new HearthError(
      'mlx_quant_unsupported',
      `${path}.g_idx puts input ${wrong} into group ${index[wrong]}; only groups of neighbouring inputs can be read.`,
    );
}
