import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needsRewrite, rewriteCheckpoint } from '../convert/index.ts';
import { decodeFloats, encodeFloats, openSafetensors, type TensorSource, writeShardedCheckpoint } from '../safetensors/index.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { dequantise } from './dequantise.ts';
import { toWords } from './packing.ts';

const RECORDED = join(import.meta.dirname, '../../../test/reference/mlx-arrays');
const INPUTS = 128;
const OUTPUTS = 24;
const GROUP = 64;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-foreign-'));
});
afterAll(() => rm(directory, { recursive: true }));

const upTo = <T>(count: number, value: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => value(i));
const code = (i: number, o: number): number => (i * 5 + o * 3 + (i >> 3)) & 15;
const zero = (g: number, o: number): number => (g * 7 + o * 11) % 15;
const scale = (g: number, o: number): number => (o - 11.5) / 512 + g / 64;
const bytes = (words: Uint32Array): Uint8Array => new Uint8Array(words.buffer);
const AWQ_PLACE = [0, 4, 1, 5, 2, 6, 3, 7];

/** Words [rows, columns/8], eight neighbours of a row to a word. */
function packRow(rows: number, columns: number, value: (row: number, column: number) => number, place = [0, 1, 2, 3, 4, 5, 6, 7]): Uint32Array {
  const words = new Uint32Array((rows * columns) / 8);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) words[(r * columns + c) >> 3]! |= value(r, c) << (place[c & 7]! * 4);
  return words;
}

const scales = (): TensorSource => ({
  name: 'm.scales',
  dtype: 'F16',
  shape: [INPUTS / GROUP, OUTPUTS],
  data: encodeFloats(
    'F16',
    Float32Array.from({ length: (INPUTS / GROUP) * OUTPUTS }, (_, i) => scale(Math.floor(i / OUTPUTS), i % OUTPUTS)),
  ),
});
const zeros = (value: (g: number, o: number) => number, place?: number[]): TensorSource => ({
  name: 'm.qzeros',
  dtype: 'I32',
  shape: [INPUTS / GROUP, OUTPUTS / 8],
  data: bytes(packRow(INPUTS / GROUP, OUTPUTS, value, place)),
});
const awqWeight = (): TensorSource => ({
  name: 'm.qweight',
  dtype: 'I32',
  shape: [INPUTS, OUTPUTS / 8],
  data: bytes(packRow(INPUTS, OUTPUTS, code, AWQ_PLACE)),
});
function gptqWeight(): TensorSource {
  const words = new Uint32Array((INPUTS / 8) * OUTPUTS);
  for (let i = 0; i < INPUTS; i++) for (let o = 0; o < OUTPUTS; o++) words[(i >> 3) * OUTPUTS + o]! |= code(i, o) << ((i & 7) * 4);
  return { name: 'm.qweight', dtype: 'I32', shape: [INPUTS / 8, OUTPUTS], data: bytes(words) };
}
const groupIndex = (of: (i: number) => number): TensorSource => ({
  name: 'm.g_idx',
  dtype: 'I32',
  shape: [INPUTS],
  data: bytes(Uint32Array.from({ length: INPUTS }, (_, i) => of(i))),
});
const NORM: TensorSource = { name: 'norm.weight', dtype: 'F16', shape: [4], data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) };

/** Rewrites the tensors and gives the numbers of module m, [OUTPUTS][INPUTS] in a row. */
async function rewrite(config: Record<string, unknown>, tensors: readonly TensorSource[]): Promise<Float64Array> {
  await using checkpoint = await openRewritten(config, tensors);
  expect([...checkpoint.tensors.keys()].sort()).toEqual(['m.biases', 'm.scales', 'm.weight', 'norm.weight']);
  const read = async (leaf: string): Promise<Float32Array> => decodeFloats('F32', await checkpoint.readTensor(`m.${leaf}`));
  return dequantise(checkpoint.quantizationOf('m')!, {
    words: toWords(await checkpoint.readTensor('m.weight')),
    scales: await read('scales'),
    biases: await read('biases'),
  });
}

async function openRewritten(config: Record<string, unknown>, tensors: readonly TensorSource[]): Promise<Checkpoint> {
  const folder = await mkdtemp(join(directory, 'model-'));
  const [source, target] = [join(folder, 'source'), join(folder, 'target')];
  await mkdir(source);
  await writeFile(join(source, 'config.json'), JSON.stringify({ model_type: 'llama', quantization_config: { bits: 4, group_size: GROUP, ...config } }));
  await writeShardedCheckpoint(source, [...tensors, NORM]);
  expect(await needsRewrite(source)).toBe(true);
  await rewriteCheckpoint(source, target);
  const checkpoint = await openCheckpoint(target);
  expect(await checkpoint.readTensor('norm.weight')).toEqual(NORM.data);
  expect(checkpoint.config['model_type']).toBe('llama');
  return checkpoint;
}

/** Codes of any width in a row of words, written as one long binary number whose end is the first word. */
function bitStream(bits: number, values: readonly number[]): number[] {
  const digits = values
    .map((value) => value.toString(2).padStart(bits, '0'))
    .reverse()
    .join('');
  return Array.from({ length: digits.length / 32 }, (_, word) => Number.parseInt(digits.slice(digits.length - 32 * (word + 1), digits.length - 32 * word), 2));
}

function expected(zeroOf: (g: number, o: number) => number): number[] {
  const half = (x: number): number => decodeFloats('F16', encodeFloats('F16', Float32Array.of(x)))[0]!;
  return Array.from({ length: OUTPUTS * INPUTS }, (_, at) => {
    const [o, i] = [Math.floor(at / INPUTS), at % INPUTS];
    const g = Math.floor(i / GROUP);
    return half(scale(g, o)) * (code(i, o) - zeroOf(g, o)) + 0;
  });
}

describe('checkpoints of AWQ, GPTQ and compressed-tensors', () => {
  it('[formats F13] an AWQ checkpoint becomes an MLX one with the same values, with and without zeros', async () => {
    expect([...(await rewrite({ quant_method: 'awq' }, [awqWeight(), zeros(zero, AWQ_PLACE), scales()]))]).toEqual(expected(zero));
    expect([...(await rewrite({ quant_method: 'awq' }, [awqWeight(), scales()]))]).toEqual(expected(() => 8));
  });

  it('[formats F13] a GPTQ checkpoint becomes an MLX one with the same values: old format, gptq_v2, symmetric, plain g_idx', async () => {
    const plainIndex = groupIndex((i) => Math.floor(i / GROUP));
    expect([...(await rewrite({ quant_method: 'gptq' }, [gptqWeight(), zeros(zero), scales(), plainIndex]))]).toEqual(expected((g, o) => zero(g, o) + 1));
    expect([...(await rewrite({ quant_method: 'gptq', checkpoint_format: 'gptq_v2' }, [gptqWeight(), zeros(zero), scales()]))]).toEqual(expected(zero));
    expect([...(await rewrite({ quant_method: 'gptq' }, [gptqWeight(), scales()]))]).toEqual(expected(() => 8));
  });

  it.each([2, 3, 8])('[formats F13] GPTQ with %i bits becomes an MLX checkpoint with the same values', async (bits) => {
    const outputs = 32;
    const mask = 2 ** bits - 1;
    const wide = (i: number, o: number): number => (i * 5 + o * 3 + (i >> 3) * 37) & mask;
    const zeroOf = (g: number, o: number): number => (g * 7 + o * 11) & mask;
    const columns = upTo(outputs, (o) =>
      bitStream(
        bits,
        upTo(INPUTS, (i) => wide(i, o)),
      ),
    );
    const rows = columns[0]!.length;
    const groups = INPUTS / GROUP;
    const halves = encodeFloats(
      'F16',
      Float32Array.from({ length: groups * outputs }, (_, at) => (at % 13) / 64 - 0.1),
    );
    const scaleAt = decodeFloats('F16', halves);
    const tensors: TensorSource[] = [
      {
        name: 'm.qweight',
        dtype: 'I32',
        shape: [rows, outputs],
        data: bytes(Uint32Array.from({ length: rows * outputs }, (_, at) => columns[at % outputs]![Math.floor(at / outputs)]!)),
      },
      {
        name: 'm.qzeros',
        dtype: 'I32',
        shape: [groups, (outputs * bits) / 32],
        data: bytes(
          Uint32Array.from(
            upTo(groups, (g) =>
              bitStream(
                bits,
                upTo(outputs, (o) => zeroOf(g, o)),
              ),
            ).flat(),
          ),
        ),
      },
      { name: 'm.scales', dtype: 'F16', shape: [groups, outputs], data: halves },
    ];
    const wanted = (zero: (g: number, o: number) => number): number[] =>
      upTo(outputs * INPUTS, (at) => {
        const [o, i] = [Math.floor(at / INPUTS), at % INPUTS];
        const g = Math.floor(i / GROUP);
        return scaleAt[g * outputs + o]! * (wide(i, o) - zero(g, o)) + 0;
      });
    expect([...(await rewrite({ quant_method: 'gptq', bits }, tensors))]).toEqual(wanted((g, o) => zeroOf(g, o) + 1));
    const symmetric = tensors.filter(({ name }) => name !== 'm.qzeros');
    expect([...(await rewrite({ quant_method: 'gptq', bits }, symmetric))]).toEqual(wanted(() => 2 ** (bits - 1)));
  });

  it('[formats F13] weights of 8-bit floats become BF16: a scale for all, for each row, or for each block', async () => {
    const [rows, columns] = [5, 96];
    const codes = Uint8Array.from({ length: rows * columns }, (_, at) => ((at * 37) % 0x7f) | (at & 1 ? 0x80 : 0));
    const weight: TensorSource = { name: 'm.weight', dtype: 'F8_E4M3', shape: [rows, columns], data: codes };
    const unused: TensorSource = { name: 'm.activation_scale', dtype: 'F32', shape: [], data: encodeFloats('F32', Float32Array.of(3)) };
    const numberOf = (code: number): number => {
      const [exponent, fraction] = [(code >> 3) & 15, code & 7];
      return (code & 0x80 ? -1 : 1) * (exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10));
    };
    const cases: readonly (readonly [leaf: string, shape: number[], config: object, scaleOf: (row: number, column: number) => number])[] = [
      ['weight_scale_inv', [], { quant_method: 'fp8' }, () => 0.3],
      ['weight_scale', [rows, 1], { quant_method: 'compressed-tensors', format: 'float-quantized' }, (row) => 0.1 + row],
      ['weight_scale_inv', [2, 3], { quant_method: 'fp8', weight_block_size: [4, 32] }, (row, column) => 0.7 + (row >> 2) * 3 + (column >> 5)],
    ];
    for (const [leaf, shape, config, scaleOf] of cases) {
      const places: readonly (readonly [row: number, column: number])[] =
        shape.length === 0
          ? [[0, 0]]
          : shape[1] === 1
            ? upTo(rows, (row) => [row, 0] as const)
            : upTo(6, (at) => [4 * Math.floor(at / 3), 32 * (at % 3)] as const);
      const scales: TensorSource = {
        name: `m.${leaf}`,
        dtype: 'F32',
        shape,
        data: encodeFloats(
          'F32',
          Float32Array.from(places, ([row, column]) => scaleOf(row, column)),
        ),
      };
      await using checkpoint = await openRewritten({ ...config }, [weight, scales, unused]);
      expect([...checkpoint.tensors.keys()].sort()).toEqual(['m.weight', 'norm.weight']);
      expect([checkpoint.quantization, checkpoint.config['quantization_config']]).toEqual([null, undefined]);
      const wanted = Float32Array.from(codes, (code, at) => numberOf(code) * Math.fround(scaleOf(Math.floor(at / columns), at % columns)));
      expect(await checkpoint.readTensor('m.weight')).toEqual(encodeFloats('BF16', wanted));
    }
    const one: TensorSource = { name: 'm.weight_scale', dtype: 'F32', shape: [1], data: encodeFloats('F32', Float32Array.of(1)) };
    await expect(openRewritten({ quant_method: 'fp8' }, [{ ...weight, data: codes.with(7, 0x7f) }, one])).rejects.toMatchObject({ code: 'convert_not_finite' });
    await expect(openRewritten({ quant_method: 'fp8' }, [weight])).rejects.toMatchObject({ code: 'mlx_quant_missing' });
    const two: TensorSource = { ...one, shape: [2], data: encodeFloats('F32', Float32Array.of(1, 2)) };
    await expect(openRewritten({ quant_method: 'fp8' }, [weight, two])).rejects.toMatchObject({ code: 'mlx_quant_shape' });
  });

  it('[formats F13] a g_idx that reorders the inputs is refused', async () => {
    for (const index of [groupIndex((i) => i % 2), groupIndex(() => 0)])
      await expect(rewrite({ quant_method: 'gptq' }, [gptqWeight(), zeros(zero), scales(), index])).rejects.toMatchObject({ code: 'mlx_quant_unsupported' });
  });

  it('a compressed-tensors checkpoint becomes an MLX one with the same values, symmetric and with zeros', async () => {
    const config = {
      quant_method: 'compressed-tensors',
      format: 'pack-quantized',
      config_groups: { group_0: { weights: { num_bits: 4, group_size: GROUP } } },
    };
    const groups = INPUTS / GROUP;
    const halves = encodeFloats(
      'F16',
      Float32Array.from({ length: OUTPUTS * groups }, (_, i) => scale(i % groups, Math.floor(i / groups))),
    );
    const tensors: TensorSource[] = [
      { name: 'm.weight_packed', dtype: 'I32', shape: [OUTPUTS, INPUTS / 8], data: bytes(packRow(OUTPUTS, INPUTS, (o, i) => code(i, o))) },
      { name: 'm.weight_scale', dtype: 'F16', shape: [OUTPUTS, groups], data: halves },
      { name: 'm.weight_shape', dtype: 'I64', shape: [2], data: new Uint8Array(BigInt64Array.of(BigInt(OUTPUTS), BigInt(INPUTS)).buffer) },
    ];
    expect([...(await rewrite(config, tensors))]).toEqual(expected(() => 8));
    const words = new Uint32Array((OUTPUTS / 8) * groups);
    for (let o = 0; o < OUTPUTS; o++) for (let g = 0; g < groups; g++) words[(o >> 3) * groups + g]! |= zero(g, o) << (4 * (o & 7));
    const zeroPoint: TensorSource = { name: 'm.weight_zero_point', dtype: 'I32', shape: [OUTPUTS / 8, groups], data: bytes(words) };
    expect([...(await rewrite(config, [...tensors, zeroPoint]))]).toEqual(expected(zero));
    const wrong = tensors.map((tensor) => (tensor.name === 'm.weight_shape' ? { ...tensor, data: new Uint8Array(16) } : tensor));
    await expect(rewrite(config, wrong)).rejects.toMatchObject({ code: 'mlx_quant_shape' });
  });

  it('[formats F13] recorded: mlx-lm reads the codes of an AWQ module as the same words', async () => {
    await using recorded = await openSafetensors(join(RECORDED, 'awq.safetensors'));
    const folder = await mkdtemp(join(directory, 'recorded-'));
    const [source, target] = [join(folder, 'source'), join(folder, 'target')];
    await mkdir(source);
    await writeFile(join(source, 'config.json'), JSON.stringify({ quantization_config: { quant_method: 'awq', bits: 4, group_size: 32 } }));
    const tensors: TensorSource[] = [];
    for (const leaf of ['qweight', 'qzeros', 'scales']) {
      const { dtype, shape } = recorded.tensors.get(`m.${leaf}`)!;
      tensors.push({ name: `m.${leaf}`, dtype, shape, data: await recorded.readTensor(`m.${leaf}`) });
    }
    await writeShardedCheckpoint(source, tensors);
    await rewriteCheckpoint(source, target);
    await using checkpoint = await openCheckpoint(target);
    expect(await checkpoint.readTensor('m.weight')).toEqual(await recorded.readTensor('result.weight'));
    for (const leaf of ['scales', 'biases'])
      expect(encodeFloats('F16', decodeFloats('F32', await checkpoint.readTensor(`m.${leaf}`)))).toEqual(await recorded.readTensor(`result.${leaf}`));
  });

  it('parts that are missing or do not fit are refused, and a checkpoint that is MLX already needs nothing', async () => {
    await expect(rewrite({ quant_method: 'awq' }, [awqWeight(), zeros(zero)])).rejects.toMatchObject({ code: 'mlx_quant_missing' });
    await expect(rewrite({ quant_method: 'awq', group_size: 32 }, [awqWeight(), zeros(zero), scales()])).rejects.toMatchObject({ code: 'mlx_quant_shape' });
    await expect(rewrite({ quant_method: 'gptq' }, [awqWeight(), zeros(zero), scales()])).rejects.toMatchObject({ code: 'mlx_quant_shape' });
    const golden = join(import.meta.dirname, '../../../test/reference/goldens/llama-q4-g64');
    expect(await needsRewrite(golden)).toBe(false);
    expect(await needsRewrite(golden, 4)).toBe(false);
  });
});
