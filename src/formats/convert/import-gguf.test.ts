import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { keepFinite } from '../../../test/support/gguf-bytes.ts';
import { CONFIG, createRandom, MATRICES, makeCheckpoint, NORMS, TEMPLATE } from '../../../test/support/llama-checkpoint.ts';
import { decodeBlocks, type GgufKey, type GgufTensorSource, type GgufTypeName, ggufRowBytes, ggufTypeByName, openGguf, writeGguf } from '../gguf/index.ts';
import { dequantise, openCheckpoint, toWords } from '../mlx/index.ts';
import { decodeFloats, type FloatDtype } from '../safetensors/index.ts';
import { loadTokenizer, vocabularyToGguf } from '../tokenizer/index.ts';
import { configToGguf } from './config-to-gguf.ts';
import { exportGguf, importGguf } from './index.ts';
import { FAMILIES, rowOrder, toGgufModule } from './names.ts';

const llama = FAMILIES[0]!;
const folder = (): Promise<string> => mkdtemp(join(tmpdir(), 'hearth-import-'));
const readJson = async (path: string): Promise<Record<string, unknown>> => JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
const probes = JSON.parse(await readFile(join(import.meta.dirname, '../../../test/reference/tokenizer/probe-texts.json'), 'utf8')) as string[];
const source = await makeCheckpoint({ quantization: { mode: 'affine', bits: 4, group: 32 }, dtype: 'F16' });

function randomTensor(type: GgufTypeName, columns: number, rows: number, random: () => number): Uint8Array {
  const block = ggufTypeByName(type);
  const bytes = Uint8Array.from({ length: ggufRowBytes(block, columns) * rows }, () => random() & 255);
  if (type === 'F32') return new Uint8Array(Float32Array.from({ length: columns * rows }, () => random() / 2 ** 32 - 0.5).buffer);
  keepFinite(type, bytes);
  for (let at = 0; at < bytes.length; at += block.bytes) {
    if (type === 'NVFP4') for (let s = 0; s < 4; s += 1) bytes[at + s]! &= 0x7f;
    if (type === 'MXFP4') bytes[at] = 117 + (random() % 20);
  }
  return bytes;
}

interface FileOptions {
  /** Type of each matrix, in the order of MATRICES; the last one is repeated. */
  readonly types?: readonly GgufTypeName[];
  readonly edit?: (name: string, bytes: Uint8Array) => void;
  readonly keys?: (keys: readonly GgufKey[]) => readonly GgufKey[];
  readonly more?: readonly GgufTensorSource[];
  /** Files that the tensors are spread over. */
  readonly parts?: number;
}

async function makeFile(options: FileOptions = {}): Promise<string> {
  const random = createRandom(3);
  const types = options.types ?? ['Q4_1'];
  const keys = [
    { key: 'general.architecture', type: 'string', value: 'llama' } as const,
    ...configToGguf(CONFIG).keys,
    ...(await vocabularyToGguf(source, 928)),
  ];
  const tensors = Object.entries(MATRICES).map(([module, [rows, columns]], index): GgufTensorSource => {
    const type = types[Math.min(index, types.length - 1)]!;
    const name = `${toGgufModule(llama, module)}.weight`;
    const data = randomTensor(type, columns, rows, random);
    options.edit?.(name, data);
    return { name, type, dims: [columns, rows], data };
  });
  const norms = NORMS.map(
    (module): GgufTensorSource => ({ name: `${toGgufModule(llama, module)}.weight`, type: 'F32', dims: [256], data: randomTensor('F32', 256, 1, random) }),
  );
  const parts = options.parts ?? 1;
  const all = [...tensors, ...norms, ...(options.more ?? [])];
  const directory = await folder();
  const pathOf = (part: number) => join(directory, parts === 1 ? 'model.gguf' : `model-${fiveDigits(part + 1)}-of-${fiveDigits(parts)}.gguf`);
  for (let part = 0; part < parts; part += 1) {
    const split = parts === 1 ? [] : splitKeys(part, parts, all.length);
    const own = all.slice(Math.ceil((all.length * part) / parts), Math.ceil((all.length * (part + 1)) / parts));
    await writeGguf(pathOf(part), part === 0 ? [...(options.keys?.(keys) ?? keys), ...split] : split, own);
  }
  return pathOf(0);
}

const fiveDigits = (n: number): string => String(n).padStart(5, '0');
const splitKeys = (no: number, count: number, tensors: number): GgufKey[] => [
  { key: 'split.no', type: 'u16', value: no },
  { key: 'split.count', type: 'u16', value: count },
  { key: 'split.tensors.count', type: 'i32', value: tensors },
];

async function imported(path: string): Promise<string> {
  const target = join(await folder(), 'model');
  await importGguf(path, target, { verify: 'none' });
  return target;
}

/** Largest difference between the blocks of the GGUF file and the layers of the checkpoint, per MLX module. */
async function differences(path: string, directory: string): Promise<Map<string, number>> {
  await using file = await openGguf(path);
  await using checkpoint = await openCheckpoint(directory);
  const out = new Map<string, number>();
  for (const module of [...Object.keys(MATRICES), ...NORMS]) {
    const tensor = file.header.tensors.get(`${toGgufModule(llama, module)}.weight`)!;
    const blocks = decodeBlocks(tensor.type, await file.readTensor(tensor.name));
    const floats = async (leaf: string) =>
      decodeFloats(checkpoint.tensors.get(`${module}.${leaf}`)!.dtype as FloatDtype, await checkpoint.readTensor(`${module}.${leaf}`));
    const quantization = checkpoint.quantizationOf(module);
    const words = async () => toWords(await checkpoint.readTensor(`${module}.weight`));
    const values =
      quantization === null
        ? await floats('weight')
        : quantization.mode === 'affine'
          ? dequantise(quantization, { words: await words(), scales: await floats('scales'), biases: await floats('biases') })
          : dequantise(quantization, { words: await words(), scales: await checkpoint.readTensor(`${module}.scales`) });
    const columns = tensor.dims[0]!;
    const heads = module.endsWith('q_proj') ? 4 : module.endsWith('k_proj') ? 2 : 0;
    const order = heads === 0 ? undefined : rowOrder(tensor.dims[1]!, heads);
    let worst = 0;
    for (let i = 0; i < blocks.length; i += 1) {
      const row = Math.floor(i / columns);
      worst = Math.max(worst, Math.abs(blocks[i]! - values[(order === undefined ? row : order[row]!) * columns + (i % columns)]!));
    }
    out.set(module, worst);
  }
  return out;
}

describe('[formats F41] an imported GGUF model has the numbers, settings, ids and template of the original', () => {
  test.each(['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'MXFP4', 'NVFP4', 'F16', 'BF16', 'F32', 'Q4_K', 'Q5_K'] as GgufTypeName[])(
    '%s decodes to the same real numbers',
    async (type) => {
      const path = await makeFile({ types: [type] });
      const found = await differences(path, await imported(path));
      expect(found.size).toBe(11);
      for (const [module, worst] of found) expect({ module, worst }).toEqual({ module, worst: 0 });
    },
  );

  test('several types in one file keep a layout each', async () => {
    const path = await makeFile({ types: ['Q8_0', 'Q4_1', 'Q4_0', 'Q5_1', 'MXFP4', 'BF16', 'Q4_1', 'Q4_1'] });
    const directory = await imported(path);
    expect(Math.max(...(await differences(path, directory)).values())).toBe(0);
    expect((await readJson(join(directory, 'config.json')))['quantization']).toEqual({
      group_size: 32,
      bits: 4,
      mode: 'affine',
      'model.embed_tokens': { group_size: 32, bits: 8, mode: 'affine' },
      'model.layers.0.self_attn.v_proj': { group_size: 32, bits: 5, mode: 'affine' },
      'model.layers.0.self_attn.o_proj': { group_size: 32, bits: 4, mode: 'mxfp4' },
    });
  });

  test('config, tokenizer ids on 40 texts and the template equal those of the original model', async () => {
    const path = join(await folder(), 'model.gguf');
    await exportGguf(source, path);
    const directory = await imported(path);
    const config = await readJson(join(directory, 'config.json'));
    for (const [key, value] of Object.entries(CONFIG)) expect({ key, value: config[key] }).toEqual({ key, value });
    const [before, after] = [await loadTokenizer(source), await loadTokenizer(directory)];
    expect(probes).toHaveLength(40);
    for (const text of probes) {
      for (const special of [true, false]) expect(after.encode(text, { special })).toEqual(before.encode(text, { special }));
    }
    expect(after.chatTemplate).toBe(TEMPLATE);
    expect(after).toMatchObject({ bosId: before.bosId, eosIds: before.eosIds, addBos: before.addBos, specialTokens: before.specialTokens });
  });
});

test('[formats F39] MLX → Q4_1 → MLX gives equal codes, scales and biases at group 32', async () => {
  const path = join(await folder(), 'model.gguf');
  await exportGguf(source, path);
  const directory = await imported(path);
  await using before = await openCheckpoint(source);
  await using after = await openCheckpoint(directory);
  expect([...after.tensors.keys()].toSorted()).toEqual([...before.tensors.keys()].toSorted());
  for (const [name, tensor] of before.tensors) {
    expect({ name, dtype: after.tensors.get(name)!.dtype, shape: after.tensors.get(name)!.shape }).toEqual({ name, dtype: tensor.dtype, shape: tensor.shape });
    expect(Buffer.compare(await after.readTensor(name), await before.readTensor(name))).toBe(0);
  }
});

test('the import checks its own work on sampled or on all rows', async () => {
  const path = await makeFile({ types: ['Q5_0', 'Q4_0', 'Q4_K'] });
  const sampled = await importGguf(path, join(await folder(), 'a'));
  const full = await importGguf(path, join(await folder(), 'b'), { verify: 'full' });
  expect(sampled).toMatchObject({ schema: 1, verdict: 'exact', verification: { mode: 'sample' }, totals: { inexactElements: 0 } });
  expect(full.verification.rows).toBe(928 + 256 + 128 + 128 + 256 + 512 + 512 + 256 + 3);
  expect(sampled.verification.rows).toBeLessThan(full.verification.rows);
});

describe('a model that is split over several files', () => {
  test('gives the checkpoint of the whole one, whichever part is named', async () => {
    const whole = await imported(await makeFile({ types: ['Q4_1', 'Q8_0'] }));
    const first = await makeFile({ types: ['Q4_1', 'Q8_0'], parts: 3 });
    for (const path of [first, first.replace('00001-of', '00003-of')]) {
      const directory = await imported(path);
      expect(Buffer.compare(await readFile(join(directory, 'model.safetensors')), await readFile(join(whole, 'model.safetensors')))).toBe(0);
      expect(await readJson(join(directory, 'config.json'))).toEqual(await readJson(join(whole, 'config.json')));
    }
  });

  test('a part that is missing, that is another one, or that belongs to another model is refused', async () => {
    const [model, other] = [
      await makeFile({ parts: 2 }),
      await makeFile({ parts: 2, more: [{ name: 'odd.weight', type: 'F32', dims: [8], data: new Uint8Array(32) }] }),
    ];
    const second = model.replace('00001-of', '00002-of');
    const refused = async (code: string) => {
      const parent = await folder();
      await expect(importGguf(model, join(parent, 'model'))).rejects.toMatchObject({ code });
      expect(await readdir(parent)).toEqual([]);
    };
    await writeFile(second, await readFile(other.replace('00001-of', '00002-of')));
    await refused('gg_split');
    await writeFile(second, await readFile(model));
    await refused('gg_split');
    await rm(second);
    await refused('gg_read_failed');
  });
});

test('a bias that leaves the range of fp16 gets float32 scales, and the numbers stay', async () => {
  const path = await makeFile({
    types: ['Q8_0'],
    edit: (name, bytes) => {
      if (name === 'blk.0.ffn_up.weight') bytes.set([0x00, 0x64], 34 * 5);
    },
  });
  const directory = await imported(path);
  await using checkpoint = await openCheckpoint(directory);
  expect(checkpoint.tensors.get('model.layers.0.mlp.up_proj.scales')!.dtype).toBe('F32');
  expect(checkpoint.tensors.get('model.layers.0.mlp.gate_proj.scales')!.dtype).toBe('F16');
  expect(Math.max(...(await differences(path, directory)).values())).toBe(0);
});

test.each(['Q2_K', 'Q3_K', 'Q6_K'] as GgufTypeName[])('%s, which MLX cannot hold, is quantised to 8 bits, counted and kept within 0.5 %%', async (type) => {
  const path = await makeFile({ types: [type] });
  const directory = join(await folder(), 'model');
  const report = await importGguf(path, directory);
  const worst = await differences(path, directory);
  expect(report.verdict).toBe('bounded');
  expect(report.totals.inexactElements).toBeGreaterThan(0);
  expect(report.totals.maxAbsError).toBe(Math.max(...worst.values()));
  expect(report.totals.maxBlockRelError).toBeLessThanOrEqual(0.005);
  expect((await readJson(join(directory, 'conversion.json')))['totals']).toEqual(report.totals);
});

describe('what cannot be imported is refused before anything is written', () => {
  const extra: GgufTensorSource = { name: 'blk.0.ssm_in.weight', type: 'F32', dims: [8], data: new Uint8Array(32) };
  const replace = (key: string, change: Partial<GgufKey> | null) => (keys: readonly GgufKey[]) =>
    keys.flatMap((entry) => (entry.key !== key ? [entry] : change === null ? [] : [{ ...entry, ...change }]));
  const add = (key: GgufKey) => (keys: readonly GgufKey[]) => [...keys, key];
  const scale = (name: string, bytes: Uint8Array) => {
    if (name === 'blk.0.ffn_up.weight') bytes.set([0x00, 0x7c], 0);
  };
  const cases: readonly (readonly [string, string, FileOptions])[] = [
    ['convert_unknown_tensor', 'a tensor of another family', { more: [extra] }],
    ['convert_type_unsupported', 'a type without a layout', { types: ['IQ4_NL'] }],
    ['convert_config_key', 'a setting that changes the graph', { keys: add({ key: 'llama.attention.scale', type: 'f32', value: 0.5 }) }],
    ['convert_config_key', 'partial rotation', { keys: replace('llama.rope.dimension_count', { value: 32 }) }],
    ['convert_config_key', 'an unknown stretching', { keys: add({ key: 'llama.rope.scaling.type', type: 'string', value: 'longrope' }) }],
    ['convert_config_key', 'a missing size', { keys: replace('llama.feed_forward_length', null) }],
    ['convert_config_key', 'rotations that no setting gives', { more: [{ name: 'rope_freqs.weight', type: 'F32', dims: [32], data: new Uint8Array(128) }] }],
    ['tokenizer_pre_unknown', '[formats F14] an unknown pre-tokenizer', { keys: replace('tokenizer.ggml.pre', { value: 'mystery' }) }],
    ['tokenizer_pre_unknown', '[formats F14] no pre-tokenizer', { keys: replace('tokenizer.ggml.pre', null) }],
    ['tokenizer_invalid', 'no merges', { keys: replace('tokenizer.ggml.merges', null) }],
    ['convert_not_finite', 'an infinite scale', { edit: scale }],
    ['convert_not_finite', 'an infinite number', { types: ['F16'], edit: scale }],
  ];
  test.each(cases)('%s: %s', async (code, _title, options) => {
    const path = await makeFile(options);
    const parent = await folder();
    await expect(importGguf(path, join(parent, 'model'))).rejects.toMatchObject({ code });
    expect(await readdir(parent)).toEqual([]);
  });

  test('convert_architecture: another architecture', async () => {
    const path = await makeFile({ keys: (keys) => keys.map((entry) => (entry.key === 'general.architecture' ? { ...entry, value: 'mamba' } : entry)) });
    await expect(importGguf(path, join(await folder(), 'model'))).rejects.toMatchObject({ code: 'convert_architecture' });
  });
});

test('a cancelled import leaves nothing, and an existing destination is not touched', async () => {
  const path = await makeFile();
  const parent = await folder();
  const abort = new AbortController();
  const running = importGguf(path, join(parent, 'model'), { signal: abort.signal, onProgress: () => abort.abort() });
  await expect(running).rejects.toMatchObject({ code: 'cancelled' });
  expect(await readdir(parent)).toEqual([]);
  await writeFile(join(parent, 'model'), 'mine');
  await expect(importGguf(path, join(parent, 'model'))).rejects.toMatchObject({ code: 'invalid_argument' });
  expect(await readFile(join(parent, 'model'), 'utf8')).toBe('mine');
});

test('progress ends with the number of bytes that were promised', async () => {
  const seen: { doneBytes: number; totalBytes: number }[] = [];
  await importGguf(await makeFile(), join(await folder(), 'model'), { onProgress: (progress) => seen.push(progress) });
  expect(seen.at(-1)!.doneBytes).toBe(seen[0]!.totalBytes);
});
