import { type Checkpoint, dequantise, type Quantization, toWords } from '../mlx/index.ts';
import { decodeFloats, encodeFloats, type FloatDtype, isFloatDtype } from '../safetensors/index.ts';
import { notFinite } from './require-finite.ts';
import { streamOf, type TensorStream } from './tensor-stream.ts';

type Config = Readonly<Record<string, unknown>>;

const ELEMENTS = 2 ** 19;

/** Numbers of a model by the names of PyTorch. */
const DTYPES: Readonly<Record<string, FloatDtype>> = { float16: 'F16', bfloat16: 'BF16', float32: 'F32' };
/** What mlx-lm leaves in its own dtype: corrections of routers, and of one family the decay. */
const KEPT = /e_score_correction_bias|expert_bias/;
export const keepsDtype = (config: Config, name: string): boolean =>
  KEPT.test(name) || (/^qwen3_5/.test(String(config['model_type'])) && name.endsWith('.A_log'));

/** The dtype that config.json says the model has, read as mlx-lm reads it. */
export function configDtype(config: Config): FloatDtype | null {
  const text = config['text_config'];
  const inner = typeof text === 'object' && text !== null ? (text as Record<string, unknown>)['dtype'] : undefined;
  const named = config['torch_dtype'] ?? inner;
  return DTYPES[String(named)] ?? null;
}

/** The same numbers in another dtype, rounded once. */
export function castStream(source: TensorStream, dtype: FloatDtype): TensorStream {
  if (!isFloatDtype(source.dtype) || source.dtype === dtype) return source;
  const from = source.dtype;
  async function* data(): AsyncGenerator<Uint8Array> {
    for await (const bytes of source.data()) {
      const cast = decodeFloats(from, bytes);
      const out = encodeFloats(dtype, cast);
      if (dtype === 'F16' && cast.some((value) => Math.abs(value) >= 65_520)) throw notFinite(source.name);
      yield out;
    }
  }
  return { ...source, dtype, data };
}

/**
 * Tensors of a quantised MLX checkpoint, the layers of `again` as plain float32 numbers under their weight's name: the formula of the codes,
 * rounded once. What is no such layer is given as it is.
 */
export function dequantisedStreams(checkpoint: Checkpoint, again: ReadonlyMap<string, Quantization>, signal?: AbortSignal): TensorStream[] {
  return [...checkpoint.tensors.values()].flatMap((entry) => {
    const [, module = '', leaf = ''] = /^(.*)\.(weight|scales|biases)$/.exec(entry.name) ?? [];
    const quantization = again.get(module);
    if (quantization === undefined) return [streamOf(checkpoint, entry, signal)];
    return leaf === 'weight' ? [numbersOf(checkpoint, module, quantization, signal)] : [];
  });
}

function numbersOf(checkpoint: Checkpoint, module: string, quantization: Quantization, signal?: AbortSignal): TensorStream {
  const entry = (leaf: string) => checkpoint.tensors.get(`${module}.${leaf}`)!;
  const packed = entry('weight').shape;
  const columns = (packed.at(-1)! * 32) / quantization.bits;
  const rows = packed.slice(0, -1).reduce((product, dimension) => product * dimension, 1);
  const step = Math.max(1, Math.floor(ELEMENTS / columns));
  async function* data(): AsyncGenerator<Uint8Array> {
    for (let from = 0; from < rows; from += step) {
      signal?.throwIfAborted();
      const flatRows = [from, Math.min(rows, from + step)] as const;
      const read = (leaf: string) => checkpoint.readTensor(`${module}.${leaf}`, { flatRows });
      const floats = async (leaf: string) => decodeFloats(entry(leaf).dtype as FloatDtype, await read(leaf));
      const words = toWords(await read('weight'));
      const values =
        quantization.mode === 'affine'
          ? dequantise(quantization, { words, scales: await floats('scales'), biases: await floats('biases') })
          : dequantise(quantization, { words, scales: await read('scales') });
      yield new Uint8Array(new Float32Array(values).buffer);
    }
  }
  return { name: `${module}.weight`, dtype: 'F32', shape: [...packed.slice(0, -1), columns], data };
}
