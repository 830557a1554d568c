import { HearthError } from '../../core/index.ts';
import { decodeFloats, encodeFloats, isFloatDtype, type TensorEntry, type TensorSource } from '../safetensors/index.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { ForeignModules } from './rewrite-foreign.ts';
import { E4M3_VALUES, E8M0_VALUES } from './small-floats.ts';

const ELEMENTS = 2 ** 20;
const BLOCK = 128;
const NUMBERS = Float32Array.from(E4M3_VALUES);
/** By the names of DeepSeek, Qwen and Mistral, and of compressed-tensors. */
const SCALES = ['weight_scale_inv', 'weight_scale'];
/** Of activations that are rounded at run time, which is not done here. */
const UNUSED = ['activation_scale', 'input_scale'];

/** Which scale belongs to element [row, column]: scales [rows ÷ height, columns ÷ width], rounded up. */
interface ScaleBlocks {
  readonly height: number;
  readonly width: number;
  readonly perRow: number;
}

/**
 * Weights of 8-bit floats (E4M3) with scales beside them become BF16: their products, rounded once, as mlx-lm makes them (docs/spec/formats.md
 * §2.2). Shapes are checked now, numbers are read when they are written. Throws `mlx_quant_missing`, `mlx_quant_shape`, later `convert_not_finite`.
 */
export function fp8Modules(checkpoint: Checkpoint): ForeignModules {
  const tensors: TensorSource[] = [];
  const consumed = new Set<string>();
  for (const entry of checkpoint.tensors.values()) {
    if (entry.dtype !== 'F8_E4M3') continue;
    const path = entry.name.replace(/\.weight$/, '');
    const scale = SCALES.map((leaf) => checkpoint.tensors.get(`${path}.${leaf}`)).find((found) => found !== undefined);
    if (!scale) throw new HearthError('mlx_quant_missing', `${entry.name} has numbers of 8 bits, but no ${path}.weight_scale stands beside it.`);
    tensors.push(numbersOf(checkpoint, entry, scale, blocksOf(checkpoint.config, entry, scale)));
    for (const name of [entry.name, scale.name, ...UNUSED.map((leaf) => `${path}.${leaf}`)]) consumed.add(name);
  }
  return { tensors, consumed };
}

function blocksOf(config: Checkpoint['config'], entry: TensorEntry, scale: TensorEntry): ScaleBlocks {
  const [rows = 0, columns = 0] = entry.shape;
  const count = scale.shape.reduce((product, dimension) => product * dimension, 1);
  const fits = entry.shape.length === 2 && (isFloatDtype(scale.dtype) || scale.dtype === 'F8_E8M0');
  const [height, width] = blockSize(config);
  if (fits && count === 1) return { height: rows, width: columns, perRow: 1 };
  if (fits && count === rows && scale.shape[0] === rows) return { height: 1, width: columns, perRow: 1 };
  if (fits && String(scale.shape) === String([Math.ceil(rows / height), Math.ceil(columns / width)])) return { height, width, perRow: scale.shape[1]! };
  throw new HearthError(
    'mlx_quant_shape',
    `${entry.name} ${entry.dtype} [${entry.shape.join(', ')}] and ${scale.name} ${scale.dtype} [${scale.shape.join(', ')}] do not fit: one scale for all, for each row, or for each block of ${height} × ${width} is needed.`,
  );
}

function blockSize(config: Checkpoint['config']): readonly [number, number] {
  const block = config['quantization_config'] as Readonly<Record<string, unknown>> | undefined;
  const size = block?.['weight_block_size'];
  const isSize = Array.isArray(size) && size.length === 2 && size.every((length) => Number.isSafeInteger(length) && length > 0);
  return isSize ? [size[0] as number, size[1] as number] : [BLOCK, BLOCK];
}

function numbersOf(checkpoint: Checkpoint, entry: TensorEntry, scale: TensorEntry, { height, width, perRow }: ScaleBlocks): TensorSource {
  const [rows = 0, columns = 0] = entry.shape;
  const step = Math.max(1, Math.floor(ELEMENTS / columns));
  async function* data(): AsyncGenerator<Uint8Array> {
    const read = await checkpoint.readTensor(scale.name);
    const scales = scale.dtype === 'F8_E8M0' ? Float32Array.from(read, (byte) => E8M0_VALUES[byte]!) : decodeFloats(scale.dtype as 'F32', read);
    for (let from = 0; from < rows; from += step) {
      const codes = await checkpoint.readTensor(entry.name, { rows: [from, Math.min(rows, from + step)] });
      const values = new Float32Array(codes.length);
      for (let at = 0; at < codes.length; at++) {
        const code = codes[at]!;
        const row = from + Math.floor(at / columns);
        // E4M3 has no infinity: all bits but the sign are its NaN.
        const factor = (code & 0x7f) === 0x7f ? Number.NaN : scales[Math.floor(row / height) * perRow + Math.floor((at % columns) / width)]!;
        const value = NUMBERS[code]! * factor;
        if (!Number.isFinite(value)) throw new HearthError('convert_not_finite', `${entry.name} or ${scale.name} holds an infinite number or NaN.`);
        values[at] = value;
      }
      yield encodeFloats('BF16', values);
    }
  }
  return { name: entry.name, dtype: 'BF16', shape: entry.shape, data };
}
