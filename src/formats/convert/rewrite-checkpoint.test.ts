import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../mlx/index.ts';
import { encodeFloats, type TensorSource, writeShardedCheckpoint } from '../safetensors/index.ts';
import { needsRewrite, rewriteCheckpoint } from './index.ts';

const RECORDED = join(import.meta.dirname, '../../../test/reference/mlx-arrays/convert.json');
const root = await mkdtemp(join(tmpdir(), 'hearth-rewrite-'));
afterAll(() => rm(root, { recursive: true }));

/** What mlx-lm made of a checkpoint of transformers; test/reference/make-quantise.py. */
interface Recorded {
  readonly config: Record<string, unknown>;
  readonly bits: 4 | 8 | null;
  readonly tensors: readonly (readonly [name: string, shape: readonly number[]])[];
  readonly quantization: Record<string, unknown> | null;
  readonly result: Readonly<Record<string, readonly [shape: readonly number[], digest: string]>>;
}
/** The rules of further families, on some tensors of each. */
const FORMS = JSON.parse(await readFile(RECORDED.replace('convert.json', 'forms.json'), 'utf8')) as Record<string, Recorded>;
const CASES = JSON.parse(await readFile(RECORDED, 'utf8')) as Record<string, Recorded>;

/** The numbers of the script, in BF16. */
function numbers(seed: number, shape: readonly number[]): Uint8Array {
  const hash = (index: number): number => {
    let h = Math.imul(index, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15), 0x85ebca77);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae3d);
    return (h ^ (h >>> 16)) & 0xffff;
  };
  const count = shape.reduce((product, dimension) => product * dimension, 1);
  return encodeFloats(
    'BF16',
    Float32Array.from({ length: count }, (_, i) => (hash(i + seed * 1_000_003) - 32_768) * 2 ** -19),
  );
}

async function makeSource({ config, tensors }: Pick<Recorded, 'config' | 'tensors'>, more: readonly TensorSource[] = []): Promise<string> {
  const source = await mkdtemp(join(root, 'source-'));
  await writeFile(join(source, 'config.json'), JSON.stringify(config));
  await writeFile(join(source, 'tokenizer.json'), '{}');
  await writeFile(join(source, 'modeling.py'), 'never copied');
  const sources = tensors.map(([name, shape], seed): TensorSource => ({ name, dtype: 'BF16', shape, data: numbers(seed, shape) }));
  await writeShardedCheckpoint(source, [...sources, ...more]);
  return source;
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 32);

describe('a checkpoint of transformers becomes what mlx-lm makes of it', () => {
  test.each(Object.entries({ ...CASES, ...FORMS }))('[engines E44] recorded: %s: the same modules, codes, scales and biases', async (name, recorded) => {
    const source = await makeSource(recorded);
    const target = join(root, name);
    const options = recorded.bits === null ? {} : { quantize: recorded.bits };
    // Names and shapes that are right already need no work, unless the numbers change.
    const sameNames = recorded.tensors.every(([tensor, shape]) => String(recorded.result[tensor]?.[0]) === String(shape));
    expect(await needsRewrite(source, recorded.bits ?? undefined)).toBe(!sameNames || recorded.bits !== null);
    const report = await rewriteCheckpoint(source, target, options);
    await using checkpoint = await openCheckpoint(target);
    const found: Record<string, unknown> = {};
    for (const entry of checkpoint.tensors.values()) found[entry.name] = [entry.shape, digest(await checkpoint.readTensor(entry.name))];
    expect(found).toEqual(recorded.result);
    // As text: numbers that JSON lacks are written the same way.
    expect(JSON.parse(await readFile(join(target, 'config.json'), 'utf8'))).toMatchObject(recorded.config);
    expect(checkpoint.config['quantization'] ?? null).toEqual(withModes(recorded.quantization));
    expect(report.quantised?.bits ?? null).toBe(recorded.bits);
    expect((await readdir(target)).sort()).toEqual(['config.json', 'conversion.json', 'model.safetensors', 'model.safetensors.index.json', 'tokenizer.json']);
  });
});

/** mlx-lm leaves the mode of listed modules out, and lists some that are like the others; what it says is the same. */
function withModes(block: Recorded['quantization']): unknown {
  const listed = Object.entries(block ?? {}).map(([key, value]) => [key, typeof value === 'object' ? { mode: 'affine', ...value } : value] as const);
  const same = JSON.stringify({ mode: 'affine', bits: block?.['bits'], group_size: 64 });
  return block && Object.fromEntries(listed.filter(([, value]) => JSON.stringify(value) !== same));
}

const llama = CASES['llama-4']!;

test('float32 weights, whose scales stand before the codes, give the codes of the same numbers in BF16', async () => {
  const wide = llama.tensors.map(([name, shape], seed): TensorSource => {
    const half = new Uint16Array(numbers(seed, shape).buffer);
    return { name, dtype: 'F32', shape, data: new Uint8Array(Uint32Array.from(half, (bits) => bits << 16).buffer) };
  });
  const source = await mkdtemp(join(root, 'wide-'));
  await writeFile(join(source, 'config.json'), JSON.stringify(llama.config));
  await writeShardedCheckpoint(source, wide);
  await rewriteCheckpoint(source, join(root, 'wide'), { quantize: 4 });
  await using checkpoint = await openCheckpoint(join(root, 'wide'));
  for (const [name, [, expected]] of Object.entries(llama.result)) {
    if (checkpoint.tensors.get(name)!.dtype === 'U32') expect(digest(await checkpoint.readTensor(name))).toBe(expected);
    else expect(checkpoint.tensors.get(name)!.dtype).toBe('F32');
  }
});

test('experts of gpt_oss: codes and scales of two projections in turn become one stack each', async () => {
  const [experts, rows, blocks] = [2, 8, 2];
  const random = (length: number, seed: number) => Uint8Array.from({ length }, (_, i) => (i * 37 + seed * 101 + (i >> 4)) & 127);
  const at = 'model.layers.0.mlp.experts';
  const codes = random(experts * rows * blocks * 16, 1);
  const scales = random(experts * rows * blocks, 2);
  const bias = numbers(3, [experts, rows]);
  const tensors: TensorSource[] = [
    { name: `${at}.gate_up_proj_blocks`, dtype: 'U8', shape: [experts, rows, blocks, 16], data: codes },
    { name: `${at}.gate_up_proj_scales`, dtype: 'U8', shape: [experts, rows, blocks], data: scales },
    { name: `${at}.gate_up_proj_bias`, dtype: 'BF16', shape: [experts, rows], data: bias },
    { name: `${at}.down_proj_blocks`, dtype: 'U8', shape: [experts, rows, blocks, 16], data: codes },
    { name: `${at}.down_proj_scales`, dtype: 'U8', shape: [experts, rows, blocks], data: scales },
    { name: `${at}.down_proj_bias`, dtype: 'BF16', shape: [experts, rows], data: bias },
  ];
  const source = await makeSource({ config: { model_type: 'gpt_oss', quantization_config: { quant_method: 'mxfp4' } }, tensors: [] }, tensors);
  expect(await needsRewrite(source)).toBe(true);
  await rewriteCheckpoint(source, join(root, 'oss'));
  await using checkpoint = await openCheckpoint(join(root, 'oss'));
  expect(checkpoint.config['quantization']).toEqual({ group_size: 32, bits: 4, mode: 'mxfp4' });
  const every = (bytes: Uint8Array, row: number, parity: number): Uint8Array =>
    Buffer.concat(Array.from({ length: (experts * rows) / 2 }, (_, i) => bytes.subarray((2 * i + parity) * row, (2 * i + parity + 1) * row)));
  for (const [projection, parity] of [
    ['gate_proj', 0],
    ['up_proj', 1],
  ] as const) {
    expect(checkpoint.tensors.get(`${at}.${projection}.weight`)).toMatchObject({ dtype: 'U32', shape: [experts, rows / 2, blocks * 4] });
    expect(Buffer.compare(await checkpoint.readTensor(`${at}.${projection}.weight`), every(codes, blocks * 16, parity))).toBe(0);
    expect(Buffer.compare(await checkpoint.readTensor(`${at}.${projection}.scales`), every(scales, blocks, parity))).toBe(0);
    expect(Buffer.compare(await checkpoint.readTensor(`${at}.${projection}.bias`), every(bias, 2, parity))).toBe(0);
  }
  expect(Buffer.compare(await checkpoint.readTensor(`${at}.down_proj.weight`), codes)).toBe(0);
});

describe('what cannot be rewritten leaves nothing behind', () => {
  async function refused(source: string, code: string, options: Parameters<typeof rewriteCheckpoint>[2] = { quantize: 4 }): Promise<void> {
    const parent = await mkdtemp(join(root, 'refused-'));
    await expect(rewriteCheckpoint(source, join(parent, 'model'), options)).rejects.toMatchObject({ code });
    expect(await readdir(parent)).toEqual([]);
  }
  const broken = (values: readonly number[]): TensorSource => {
    const data = Float32Array.from({ length: 64 }, (_, i) => values[i] ?? 0);
    return { name: 'model.layers.0.mlp.more.weight', dtype: 'F32', shape: [1, 64], data: encodeFloats('F32', data) };
  };

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('%d among the numbers', async (value) => {
    await refused(await makeSource(llama, [broken([0, 1, value])]), 'convert_not_finite');
  });

  test('an expert that is missing', async () => {
    const mixtral = CASES['mixtral-4']!;
    await refused(await makeSource({ ...mixtral, tensors: mixtral.tensors.filter(([name]) => !name.includes('experts.1.w1')) }), 'convert_unknown_tensor');
  });

  test('a cancel in the middle, and a destination that exists', async () => {
    const abort = new AbortController();
    const source = await makeSource(llama);
    await refused(source, 'cancelled', { quantize: 4, signal: abort.signal, onProgress: () => abort.abort() });
    const taken = join(root, 'taken');
    await mkdir(taken);
    await expect(rewriteCheckpoint(source, taken)).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});

test('progress ends with the number of bytes that were promised', async () => {
  const seen: { doneBytes: number; totalBytes: number }[] = [];
  await rewriteCheckpoint(await makeSource(llama), join(root, 'progress'), { quantize: 8, onProgress: (progress) => seen.push(progress) });
  expect(seen.at(-1)!.doneBytes).toBe(seen[0]!.totalBytes);
});
