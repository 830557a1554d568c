import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createRandom, type FixtureOptions, MATRICES, makeCheckpoint } from '../../../test/support/llama-checkpoint.ts';
import { decodeBlocks, ggufString, openGguf } from '../gguf/index.ts';
import { type Checkpoint, dequantise, openCheckpoint, type Quantization, toWords } from '../mlx/index.ts';
import { decodeFloats, encodeFloats, type FloatDtype } from '../safetensors/index.ts';
import { requireSpace } from './directory.ts';
import { type ConversionReport, type ExportOptions, exportGguf } from './index.ts';
import { FAMILIES, rowOrder, toGgufModule } from './names.ts';

const goldens = join(import.meta.dirname, '../../../test/reference/goldens');
const affine = (bits: number, group: number): Quantization => ({ mode: 'affine', bits, group });

/** The real numbers of an MLX layer, by the formulas of MLX. */
async function layerValues(checkpoint: Checkpoint, module: string): Promise<Float64Array> {
  const quantization = checkpoint.quantizationOf(module)!;
  const floats = async (leaf: string) =>
    decodeFloats(checkpoint.tensors.get(`${module}.${leaf}`)!.dtype as FloatDtype, await checkpoint.readTensor(`${module}.${leaf}`));
  const words = toWords(await checkpoint.readTensor(`${module}.weight`));
  if (quantization.mode !== 'affine') return dequantise(quantization, { words, scales: await checkpoint.readTensor(`${module}.scales`) });
  return dequantise(quantization, { words, scales: await floats('scales'), biases: await floats('biases') });
}

interface Converted {
  readonly report: ConversionReport;
  /** Largest difference and number of different elements, counted here from both files. */
  readonly differences: ReadonlyMap<string, { readonly count: number; readonly largest: number; readonly withinHalfStep: boolean }>;
  readonly types: ReadonlySet<string>;
}

async function convert(options: FixtureOptions, settings: ExportOptions = {}): Promise<Converted> {
  const source = await makeCheckpoint(options);
  const path = join(await mkdtemp(join(tmpdir(), 'hearth-export-')), 'model.gguf');
  const report = await exportGguf(source, path, { verify: 'full', ...settings });
  await using checkpoint = await openCheckpoint(source);
  await using file = await openGguf(path);
  const differences = new Map();
  const types = new Set<string>();
  for (const [module, [rows, columns]] of Object.entries(MATRICES)) {
    const tensor = file.header.tensors.get(`${toGgufModule(FAMILIES[0]!, module)}.weight`)!;
    types.add(tensor.type);
    const encoded = await file.readTensor(tensor.name);
    const found = decodeBlocks(tensor.type, encoded);
    const expected = await layerValues(checkpoint, module);
    const heads = module.endsWith('q_proj') ? 4 : module.endsWith('k_proj') ? 2 : 0;
    const order = heads === 0 ? undefined : rowOrder(rows, heads);
    let count = 0;
    let largest = 0;
    let withinHalfStep = true;
    for (let i = 0; i < found.length; i += 1) {
      const row = Math.floor(i / columns);
      const error = Math.abs(found[i]! - expected[(order === undefined ? row : order[row]!) * columns + (i % columns)]!);
      if (error > 0) count += 1;
      largest = Math.max(largest, error);
      if (tensor.type === 'Q8_0') {
        const step = decodeFloats('F16', encoded.subarray(Math.floor(i / 32) * 34, Math.floor(i / 32) * 34 + 2))[0]!;
        withinHalfStep &&= error <= step / 2;
      }
    }
    differences.set(tensor.name, { count, largest, withinHalfStep });
  }
  return { report, differences, types };
}

const total = (converted: Converted): number => [...converted.differences.values()].reduce((sum, { count }) => sum + count, 0);
const largest = (converted: Converted): number => Math.max(...[...converted.differences.values()].map((difference) => difference.largest));

describe('[formats F28] 4-bit layers with scales that fp16 can hold are exact', () => {
  test.each([32, 64, 128].flatMap((group) => (['F16', 'BF16'] as const).map((dtype) => ({ group, dtype }))))(
    'group $group, $dtype',
    async ({ group, dtype }) => {
      const converted = await convert({ quantization: affine(4, group), dtype });
      expect(converted.types).toEqual(new Set(['Q4_1']));
      expect(converted.report).toMatchObject({ verdict: 'exact', totals: { inexactElements: 0, maxAbsError: 0 } });
      expect(total(converted)).toBe(0);
    },
  );
});

test('[formats F29] numbers that fp16 cannot hold are counted, and the largest error is told', async () => {
  const random = createRandom(5);
  const converted = await convert({
    quantization: affine(4, 64),
    dtype: 'F32',
    edit: ({ scales, biases }) => {
      for (let i = 0; i < scales.length; i += 1) if (random() % 3 === 0) (scales as Float32Array)[i] = 0.0123456 + (random() % 97) * 1e-7;
      for (let i = 0; i < biases!.length; i += 1) if (random() % 5 === 0) biases![i] = -0.1 - (random() % 89) * 1e-7;
      const exact = decodeFloats('F16', encodeFloats('F16', biases!));
      for (let i = 0; i < biases!.length; i += 2) biases![i] = exact[i]!;
    },
  });
  expect(converted.report.verdict).toBe('bounded');
  expect(converted.report.totals.inexactElements).toBe(total(converted));
  expect(total(converted)).toBeGreaterThan(1000);
  expect(converted.report.totals.maxAbsError).toBe(largest(converted));
  for (const tensor of converted.report.tensors.filter((entry) => entry.to === 'Q4_1')) {
    expect(tensor.inexactElements).toBe(converted.differences.get(tensor.name)!.count);
  }
});

test('[formats F30] a scale above 65,504 makes plain numbers, and NaN is refused', async () => {
  const overflow = await convert({
    quantization: affine(4, 64),
    dtype: 'F32',
    edit: ({ scales }, module) => {
      if (module.endsWith('o_proj')) scales[3] = 70_000;
    },
  });
  expect(overflow.types).toEqual(new Set(['Q4_1', 'F32']));
  expect(overflow.report.tensors.find((tensor) => tensor.name === 'blk.0.attn_output.weight')!.to).toBe('F32');
  const broken = convert({
    quantization: affine(4, 64),
    dtype: 'F16',
    edit: ({ scales }) => {
      scales[0] = Number.NaN;
    },
  });
  await expect(broken).rejects.toMatchObject({ code: 'convert_not_finite' });
});

test('[formats F31] 2, 3 and 5 bits are exact as Q4_1 and Q5_1', async () => {
  for (const [bits, type] of [
    [2, 'Q4_1'],
    [3, 'Q4_1'],
    [5, 'Q5_1'],
  ] as const) {
    const converted = await convert({ quantization: affine(bits, 64), dtype: 'F16' });
    expect({ bits, types: [...converted.types], differ: total(converted), said: converted.report.totals.inexactElements }).toEqual({
      bits,
      types: [type],
      differ: 0,
      said: 0,
    });
  }
});

test('[formats F32] 6 and 8 bits become Q8_0 within half a step; 8 bits around −128 · scale are exact', async () => {
  for (const bits of [6, 8]) {
    const converted = await convert({ quantization: affine(bits, 64), dtype: 'F16' });
    expect(converted.types).toEqual(new Set(['Q8_0']));
    expect([...converted.differences.values()].every((difference) => difference.withinHalfStep)).toBe(true);
    expect(converted.report.totals.inexactElements).toBe(total(converted));
    expect(converted.report.totals.maxBlockRelError).toBeLessThanOrEqual(0.005);
  }
  const centred = await convert({
    quantization: affine(8, 64),
    dtype: 'F16',
    edit: ({ scales, biases }) => {
      const exact = decodeFloats('F16', encodeFloats('F16', scales as Float32Array));
      for (let i = 0; i < exact.length; i += 1) biases![i] = -128 * exact[i]!;
    },
  });
  expect(centred.types).toEqual(new Set(['Q8_0']));
  expect(total(centred)).toBe(0);
});

describe('[formats F33] fp modes are exact, and scales that are no numbers are refused', () => {
  test.each([
    { mode: 'mxfp4', bits: 4, group: 32, type: 'MXFP4', forbidden: 255 },
    { mode: 'mxfp8', bits: 8, group: 32, type: 'BF16', forbidden: 255 },
    { mode: 'nvfp4', bits: 4, group: 16, type: 'F16', forbidden: 0x7f },
  ] as const)('$mode', async ({ mode, bits, group, type, forbidden }) => {
    const quantization = { mode, bits, group };
    const converted = await convert({ quantization, dtype: 'F16' });
    expect(converted.types).toEqual(new Set([type]));
    expect(total(converted)).toBe(0);
    expect(converted.report.verdict).toBe('exact');
    const broken = convert({
      quantization,
      dtype: 'F16',
      edit: ({ scales }) => {
        scales[7] = forbidden;
      },
    });
    await expect(broken).rejects.toMatchObject({ code: 'convert_not_finite' });
  });
});

test('[formats F35] per-layer widths give per-tensor types, and the totals add up', async () => {
  const path = join(await mkdtemp(join(tmpdir(), 'hearth-export-')), 'model.gguf');
  const report = await exportGguf(join(goldens, 'llama-widths'), path);
  expect(new Set(report.tensors.map((tensor) => tensor.to))).toEqual(new Set(['Q4_1', 'Q5_1', 'Q8_0', 'F32']));
  const sum = (pick: (tensor: ConversionReport['tensors'][number]) => number) => report.tensors.reduce((all, tensor) => all + pick(tensor), 0);
  expect(report.totals.tensors).toBe(report.tensors.length);
  expect(report.totals.elements).toBe(sum((tensor) => tensor.elements));
  expect(report.totals.inexactElements).toBe(sum((tensor) => tensor.inexactElements));
  await using file = await openGguf(path);
  expect(file.header.tensors.size).toBe(report.tensors.length);
  expect(report.totals.bytesAfter).toBe([...file.header.tensors.values()].reduce((all, tensor) => all + tensor.bytes, 0));
  expect(ggufString(file.header, 'hearth.conversion')).toBe(report.verdict);
});

test('[formats F34] where only exact types are allowed, tensors become F16 or F32, and what F32 rounds is counted', async () => {
  const exactOnly = { exactOnly: true };
  const short: FixtureOptions['edit'] = ({ scales, biases }) => {
    scales.fill(0.03125);
    biases!.fill(-1);
  };
  // 6-bit codes with scales of few bits: products fit fp16; and with all bits of fp16: they need float32.
  const few = await convert({ quantization: affine(6, 64), dtype: 'BF16', edit: short }, exactOnly);
  expect(few.types).toEqual(new Set(['F16']));
  expect([total(few), few.report.verdict]).toEqual([0, 'exact']);
  const many = await convert({ quantization: affine(6, 64), dtype: 'F16' }, exactOnly);
  expect(many.types).toEqual(new Set(['F32']));
  expect([total(many), many.report.verdict]).toEqual([0, 'exact']);
  // Scales and biases of 24 bits: not even float32 holds the sum.
  const wide = await convert({ quantization: affine(4, 64), dtype: 'F32' }, exactOnly);
  expect(wide.types).toEqual(new Set(['F32']));
  expect(wide.report.totals.inexactElements).toBe(total(wide));
  expect([total(wide) > 0, wide.report.verdict]).toEqual([true, 'bounded']);
  // What is exact anyway keeps its small type.
  const kept = await convert({ quantization: affine(4, 64), dtype: 'F16' }, exactOnly);
  expect([kept.types, kept.report.verdict]).toEqual([new Set(['Q4_1']), 'exact']);
});

test('a tokenizer that GGUF cannot say is refused, and no file is left', async () => {
  const source = await makeCheckpoint({ quantization: affine(4, 32), dtype: 'F16' });
  const path = join(source, 'tokenizer.json');
  const json = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...json, normalizer: { type: 'Lowercase' } }));
  const folder = await mkdtemp(join(tmpdir(), 'hearth-export-'));
  await expect(exportGguf(source, join(folder, 'a.gguf'))).rejects.toMatchObject({ code: 'tokenizer_mismatch' });
  expect(await readdir(folder)).toEqual([]);
});

test('a cancelled export, a taken path and an unknown family leave nothing behind', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hearth-export-'));
  const signal = AbortSignal.abort();
  await expect(exportGguf(join(goldens, 'llama-f16'), join(folder, 'a.gguf'), { signal })).rejects.toMatchObject({ code: 'cancelled' });
  expect(await readdir(folder)).toEqual([]);
  await exportGguf(join(goldens, 'llama-f16'), join(folder, 'a.gguf'));
  await expect(exportGguf(join(goldens, 'llama-f16'), join(folder, 'a.gguf'))).rejects.toMatchObject({ code: 'invalid_argument' });
  expect(await readdir(folder)).toEqual(['a.gguf']);
});

test('a file system without room is named before anything is written', async () => {
  await expect(requireSpace(tmpdir(), 2 ** 60)).rejects.toMatchObject({ code: 'insufficient_space' });
  await requireSpace(tmpdir(), 1);
});
