import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { never, startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import type { ModelFacts } from '../../core/index.ts';
import {
  decodeFloats,
  dequantise,
  encodeFloats,
  type FloatDtype,
  openCheckpoint,
  type TensorSource,
  toWords,
  writeShardedCheckpoint,
} from '../../formats/index.ts';
import { createEmberEngine } from '../index.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
let next = 0;
const place = (): string => join(home.path, `p${next++}`);
const LOAD = { contextTokens: 256, activations: 'f32', threads: 1 } as const;

/** A golden model with plain weights, as transformers would have written it: facts without MLX's mark. */
function plainModel(): { facts: ModelFacts; prompt: readonly number[] } {
  const { facts, golden } = makeGoldenModel(place(), { name: 'llama-f16' });
  return { facts: { ...facts, framework: 'PyTorch' }, prompt: golden.prompt };
}

const isLayer = (name: string): boolean => /_proj\.weight$/.test(name);

/** The same model with other weights: `change` gives the tensors that stand for a linear layer. */
async function rewritten(
  facts: ModelFacts,
  config: Record<string, unknown>,
  change: (name: string, shape: readonly number[], values: Float32Array) => TensorSource[],
) {
  const directory = place();
  mkdirSync(directory);
  for (const file of readdirSync(facts.directory))
    if (/token|generation/.test(file)) writeFileSync(join(directory, file), readFileSync(join(facts.directory, file)));
  await using checkpoint = await openCheckpoint(facts.directory);
  const tensors: TensorSource[] = [];
  for (const { name, dtype, shape } of checkpoint.tensors.values()) {
    const data = await checkpoint.readTensor(name);
    tensors.push(...(isLayer(name) ? change(name, shape, decodeFloats(dtype as FloatDtype, data)) : [{ name, dtype, shape, data }]));
  }
  await writeShardedCheckpoint(directory, tensors);
  const { quantization: _, quantization_config: __, ...base } = checkpoint.config;
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ ...base, ...config }));
  return {
    ...facts,
    directory,
    framework: 'PyTorch' as const,
    config: { ...base, ...config },
    weightBytes: statSync(join(directory, 'model.safetensors')).size,
  };
}

/** The real numbers of an MLX checkpoint, written plainly in float32. */
async function dequantised(directory: string, facts: ModelFacts): Promise<ModelFacts> {
  await using checkpoint = await openCheckpoint(directory);
  const target = place();
  mkdirSync(target);
  for (const file of readdirSync(directory)) if (/token|generation/.test(file)) writeFileSync(join(target, file), readFileSync(join(directory, file)));
  const tensors: TensorSource[] = [];
  for (const { name, dtype, shape } of checkpoint.tensors.values()) {
    const module = name.replace(/\.[a-z_]+$/, '');
    const quantization = checkpoint.quantizationOf(module);
    if (quantization === null || name.endsWith('.bias')) tensors.push({ name, dtype, shape, data: await checkpoint.readTensor(name) });
    if (quantization === null || !name.endsWith('.weight')) continue;
    const side = async (leaf: string) =>
      decodeFloats(checkpoint.tensors.get(`${module}.${leaf}`)!.dtype as FloatDtype, await checkpoint.readTensor(`${module}.${leaf}`));
    const values = dequantise(quantization, { words: toWords(await checkpoint.readTensor(name)), scales: await side('scales'), biases: await side('biases') });
    tensors.push({ name, dtype: 'F32', shape: [shape[0]!, values.length / shape[0]!], data: encodeFloats('F32', Float32Array.from(values)) });
  }
  await writeShardedCheckpoint(target, tensors);
  const { quantization: _, quantization_config: __, ...config } = checkpoint.config;
  writeFileSync(join(target, 'config.json'), JSON.stringify(config));
  return { ...facts, directory: target, framework: 'MLX', config, weightFiles: ['model.safetensors'] };
}

const newEngine = (convertedDirectory = place()) => createEmberEngine({ convertedDirectory, viewDirectory: place() });

async function answer(facts: ModelFacts, prompt: readonly number[], options: Record<string, unknown> = {}) {
  await using running = await startEngine(newEngine(), facts, { ...LOAD, ...options });
  const { text, events } = await running.ask({ tokens: prompt, maxTokens: 48 });
  expect(events.some((event) => event.kind === 'error')).toBe(false);
  return { text, report: running.report };
}

describe('weights that are quantised at load', () => {
  test.each([4, 8] as const)('[engines E44] %d bits: the model answers as its codes say, is smaller, and says what was done', async (quantize) => {
    const { facts, prompt } = plainModel();
    const engine = newEngine();
    const prepared = await engine.prepare(facts, () => {}, never, { quantize });
    expect(prepared.facts.config['quantization']).toEqual({ group_size: 64, bits: quantize, mode: 'affine' });
    expect(prepared.facts.weightBytes).toBeLessThan(facts.weightBytes);
    expect(engine.canRun(facts, { quantize })['text'].note).toContain(`${quantize} bits`);
    const { text, report } = await answer(facts, prompt, { quantize });
    expect(report.weightsNote).toContain(`quantised to ${quantize} bits`);
    const reference = await answer(await dequantised(prepared.sourceDirectory!, facts), prompt);
    expect(text).toBe(reference.text);
    expect(reference.report.weightsNote).toBeUndefined();
  });

  test('the work is done once for each width, and not for a model that has codes already', async () => {
    const converted = place();
    const engine = newEngine(converted);
    const { facts } = plainModel();
    const prepare = (model: ModelFacts, options: unknown) => engine.prepare(model, () => {}, never, options);
    const first = await Promise.all([prepare(facts, { quantize: 4 }), prepare(facts, { quantize: 4 })]);
    expect(first[0]!.sourceDirectory).toBe(first[1]!.sourceDirectory);
    const report = readFileSync(join(first[0]!.sourceDirectory!, 'conversion.json'), 'utf8');
    expect((await prepare(facts, { quantize: 4 })).sourceDirectory).toBe(first[0]!.sourceDirectory);
    expect(readFileSync(join(first[0]!.sourceDirectory!, 'conversion.json'), 'utf8')).toBe(report);
    expect((await prepare(facts, { quantize: 8 })).sourceDirectory).not.toBe(first[0]!.sourceDirectory);
    expect(readdirSync(converted)).toHaveLength(2);
    expect((await prepare(facts, {})).sourceDirectory).toBe(facts.directory);
    const coded = makeGoldenModel(place()).facts;
    expect((await prepare(coded, { quantize: 4 })).sourceDirectory).toBe(coded.directory);
    expect(readdirSync(converted)).toHaveLength(2);
    await expect(prepare(facts, { quantize: 5 })).rejects.toMatchObject({ code: 'engine_options_invalid' });
  });

  test('a file that is cut short gives its code and leaves nothing', async () => {
    const converted = place();
    const { facts } = plainModel();
    const path = join(facts.directory, 'model.safetensors');
    writeFileSync(path, readFileSync(path).subarray(0, 3000));
    rmSync(join(facts.directory, 'model.safetensors.index.json'), { force: true });
    await expect(newEngine(converted).prepare(facts, () => {}, never, { quantize: 4 })).rejects.toMatchObject({ code: expect.stringMatching(/^st_/) });
    expect(() => readdirSync(converted)).toThrow('ENOENT');
  });
});

const GROUP = 32;

/** Codes 0 … 15 and a whole zero per group: what AWQ and GPTQ can say. */
function codesOf(values: Float32Array): { codes: Uint8Array; scales: Float32Array; zeros: Uint8Array } {
  const groups = values.length / GROUP;
  const [codes, zeros] = [new Uint8Array(values.length), new Uint8Array(groups)];
  const scales = Float32Array.from({ length: groups }, (_, g) => {
    const part = values.subarray(g * GROUP, (g + 1) * GROUP);
    const scale = (Math.max(0, ...part) - Math.min(0, ...part)) / 15 || 1;
    return decodeFloats('F16', encodeFloats('F16', Float32Array.of(scale)))[0]!;
  });
  for (let g = 0; g < groups; g++) {
    zeros[g] = Math.min(15, Math.max(1, Math.round(-Math.min(0, ...values.subarray(g * GROUP, (g + 1) * GROUP)) / scales[g]!)));
    for (let i = g * GROUP; i < (g + 1) * GROUP; i++) codes[i] = Math.min(15, Math.max(0, Math.round(values[i]! / scales[g]!) + zeros[g]!));
  }
  return { codes, scales, zeros };
}

/** Words [rows, columns/8] of `value(row, column)`, element k of a word in nibble `order[k]`. */
function words(rows: number, columns: number, value: (row: number, column: number) => number, order = [0, 1, 2, 3, 4, 5, 6, 7]): Uint8Array {
  const out = new Uint32Array((rows * columns) / 8);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[(r * columns + c) >> 3]! |= value(r, c) << (order[c & 7]! * 4);
  return new Uint8Array(out.buffer);
}

const AWQ = [0, 4, 1, 5, 2, 6, 3, 7];
type Writer = (path: string, outputs: number, inputs: number, numbers: ReturnType<typeof codesOf>) => TensorSource[];

const turned = (outputs: number, groups: number, scales: Float32Array): Uint8Array =>
  encodeFloats(
    'F16',
    Float32Array.from({ length: scales.length }, (_, i) => scales[(i % outputs) * groups + Math.floor(i / outputs)]!),
  );

const awq: Writer = (path, outputs, inputs, { codes, scales, zeros }) => {
  const groups = inputs / GROUP;
  return [
    { name: `${path}.qweight`, dtype: 'I32', shape: [inputs, outputs / 8], data: words(inputs, outputs, (i, o) => codes[o * inputs + i]!, AWQ) },
    { name: `${path}.qzeros`, dtype: 'I32', shape: [groups, outputs / 8], data: words(groups, outputs, (g, o) => zeros[o * groups + g]!, AWQ) },
    { name: `${path}.scales`, dtype: 'F16', shape: [groups, outputs], data: turned(outputs, groups, scales) },
  ];
};

const gptq: Writer = (path, outputs, inputs, { codes, scales, zeros }) => {
  const groups = inputs / GROUP;
  const qweight = new Uint32Array((inputs / 8) * outputs);
  for (let i = 0; i < inputs; i++) for (let o = 0; o < outputs; o++) qweight[(i >> 3) * outputs + o]! |= codes[o * inputs + i]! << ((i & 7) * 4);
  return [
    { name: `${path}.qweight`, dtype: 'I32', shape: [inputs / 8, outputs], data: new Uint8Array(qweight.buffer) },
    { name: `${path}.qzeros`, dtype: 'I32', shape: [groups, outputs / 8], data: words(groups, outputs, (g, o) => zeros[o * groups + g]! - 1) },
    { name: `${path}.scales`, dtype: 'F16', shape: [groups, outputs], data: turned(outputs, groups, scales) },
    {
      name: `${path}.g_idx`,
      dtype: 'I32',
      shape: [inputs],
      data: new Uint8Array(Uint32Array.from({ length: inputs }, (_, i) => Math.floor(i / GROUP)).buffer),
    },
  ];
};

const compressed: Writer = (path, outputs, inputs, { codes, scales, zeros }) => {
  const groups = inputs / GROUP;
  const zeroWords = new Uint32Array((outputs / 8) * groups);
  for (let o = 0; o < outputs; o++) for (let g = 0; g < groups; g++) zeroWords[(o >> 3) * groups + g]! |= zeros[o * groups + g]! << (4 * (o & 7));
  return [
    { name: `${path}.weight_packed`, dtype: 'I32', shape: [outputs, inputs / 8], data: words(outputs, inputs, (o, i) => codes[o * inputs + i]!) },
    { name: `${path}.weight_zero_point`, dtype: 'I32', shape: [outputs / 8, groups], data: new Uint8Array(zeroWords.buffer) },
    { name: `${path}.weight_scale`, dtype: 'F16', shape: [outputs, groups], data: encodeFloats('F16', scales) },
  ];
};

describe('checkpoints of other quantisers', () => {
  test.each([
    ['AWQ', { quant_method: 'awq', bits: 4, group_size: GROUP }, awq],
    ['GPTQ', { quant_method: 'gptq', bits: 4, group_size: GROUP, desc_act: false, sym: false }, gptq],
    [
      'compressed-tensors',
      { quant_method: 'compressed-tensors', format: 'pack-quantized', config_groups: { group_0: { weights: { num_bits: 4, group_size: GROUP } } } },
      compressed,
    ],
  ] as const)('[formats F13] %s: the model answers as the plain model of the same numbers', async (_, settings, write) => {
    const { facts, prompt } = plainModel();
    const coded = await rewritten(facts, { quantization_config: settings }, (name, [outputs = 0, inputs = 0], values) =>
      write(name.replace(/\.weight$/, ''), outputs, inputs, codesOf(values)),
    );
    const plain = await rewritten(facts, {}, (name, shape, values) => {
      const { codes, scales, zeros } = codesOf(values);
      const numbers = Float32Array.from(codes, (code, i) => scales[Math.floor(i / GROUP)]! * (code - zeros[Math.floor(i / GROUP)]!));
      return [{ name, dtype: 'F32', shape, data: encodeFloats('F32', numbers) }];
    });
    expect(newEngine().canRun(coded)['text']).toMatchObject({ ok: true });
    expect((await answer(coded, prompt)).text).toBe((await answer(plain, prompt)).text);
  });
});
