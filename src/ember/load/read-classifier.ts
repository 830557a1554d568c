import { type Checkpoint, decodeFloats, dequantise, type FloatDtype, type ShardedTensorEntry, toWords } from '../../formats/index.ts';
import type { Classifier, Linear } from '../models/model-graph.ts';
import { matrixSource } from './matrix-source.ts';

/**
 * The head of an encoder with one label: output · tanh(dense · x), x the hidden row of the first token. It is a thousandth of a layer's work
 * and only for one row of a text, so that it runs where the row is read.
 */
export async function readClassifier(checkpoint: Checkpoint, { dense, output }: Classifier): Promise<(row: Float32Array) => number> {
  const inner = await readLinear(checkpoint, dense);
  const outer = await readLinear(checkpoint, output);
  return (row) => outer(Float64Array.from(inner(row), Math.tanh))[0]!;
}

/** y = W x + b, with the numbers of the checkpoint in float64. */
async function readLinear(checkpoint: Checkpoint, linear: Linear): Promise<(x: ArrayLike<number>) => Float64Array> {
  const source = matrixSource(checkpoint, linear);
  const floats = async ({ name, dtype }: ShardedTensorEntry) => decodeFloats(dtype as FloatDtype, await checkpoint.readTensor(name));
  const weight = source.form === 'plain' ? await floats(source.weight) : await readCodes(checkpoint, linear);
  const bias = source.bias && (await floats(source.bias));
  const { inputs, outputs } = linear;
  return (x) =>
    Float64Array.from({ length: outputs }, (_, row) => {
      let sum = bias?.[row] ?? 0;
      for (let i = 0; i < inputs; i++) sum += weight[row * inputs + i]! * x[i]!;
      return sum;
    });
}

async function readCodes(checkpoint: Checkpoint, { path }: Linear): Promise<Float64Array> {
  const read = (leaf: string) => checkpoint.readTensor(`${path}.${leaf}`);
  const quantization = checkpoint.quantizationOf(path)!;
  const words = toWords(await read('weight'));
  if (quantization.mode !== 'affine') return dequantise(quantization, { words, scales: await read('scales') });
  const type = checkpoint.tensors.get(`${path}.scales`)!.dtype as FloatDtype;
  return dequantise(quantization, { words, scales: decodeFloats(type, await read('scales')), biases: decodeFloats(type, await read('biases')) });
}
