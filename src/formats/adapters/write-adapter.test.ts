import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTinyAdapter, writeRawAdapter } from '../../../test/support/tiny-adapter.ts';
import { openSafetensors } from '../safetensors/index.ts';
import type { AdapterModule, LowRankAdapter } from './adapter-table.ts';
import { type BaseModule, wrappedModules } from './check-adapter.ts';
import { readAdapter } from './read-adapter.ts';
import { writeMlxAdapter } from './write-mlx.ts';
import { writePeftAdapter } from './write-peft.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hearth-write-adapter-'));
});
afterAll(() => rm(folder, { recursive: true }));
let count = 0;
const fresh = (): string => join(folder, `adapter-${count++}`);

/** The modules of the golden llama-q4-g64: 2 layers, hidden 64, 4 heads of 16 over 2. */
const GOLDEN = join(import.meta.dirname, '../../../test/reference/goldens/llama-q4-g64');
async function goldenModules(): Promise<BaseModule[]> {
  const config = JSON.parse(await readFile(join(GOLDEN, 'config.json'), 'utf8')) as Record<string, number>;
  const hidden = config['hidden_size']!;
  const headDim = config['head_dim'] ?? hidden / config['num_attention_heads']!;
  const [query, key, middle] = [config['num_attention_heads']! * headDim, config['num_key_value_heads']! * headDim, config['intermediate_size']!];
  const linear = (path: string, outputs: number, inputs: number): BaseModule => ({ path, kind: 'linear', inputs, outputs, experts: 1 });
  const layers = Array.from({ length: config['num_hidden_layers']! }, (_, i) => `model.layers.${i}`).flatMap((at) => [
    linear(`${at}.self_attn.q_proj`, query, hidden),
    linear(`${at}.self_attn.k_proj`, key, hidden),
    linear(`${at}.self_attn.v_proj`, key, hidden),
    linear(`${at}.self_attn.o_proj`, hidden, query),
    linear(`${at}.mlp.gate_proj`, middle, hidden),
    linear(`${at}.mlp.up_proj`, middle, hidden),
    linear(`${at}.mlp.down_proj`, hidden, middle),
  ]);
  return [...layers, { path: 'model.embed_tokens', kind: 'embedding', inputs: hidden, outputs: config['vocab_size']!, experts: 1 }];
}

/**
 * What mlx-lm's load_adapters asks of a directory: the config's members, the parameters that wrapping the chosen modules makes, and no tensor
 * beside them. Gives its complaints.
 */
async function loaderComplaints(directory: string, base: readonly BaseModule[]): Promise<string[]> {
  const config = JSON.parse(await readFile(join(directory, 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
  const parameters = config['lora_parameters'] as Record<string, unknown>;
  const complaints: string[] = [];
  if (!['lora', 'dora'].includes((config['fine_tune_type'] ?? 'lora') as string)) complaints.push('fine_tune_type');
  if (!Number.isInteger(config['num_layers'])) complaints.push('num_layers');
  for (const name of ['rank', 'scale', 'dropout']) if (typeof parameters?.[name] !== 'number') complaints.push(name);
  const rank = parameters['rank'] as number;
  const keys = (parameters['keys'] ?? null) as string[] | null;
  const wrapped = wrappedModules(
    { numLayers: config['num_layers'] as number, keys },
    base.map((module) => module.path),
  );
  const allowed = new Map<string, string>();
  for (const { path, kind, inputs, outputs, experts } of base) {
    if (!wrapped.has(path)) continue;
    const [a, b] =
      kind === 'experts'
        ? [
            [experts, rank, inputs],
            [experts, outputs, rank],
          ]
        : kind === 'embedding'
          ? [
              [outputs, rank],
              [rank, inputs],
            ]
          : [
              [inputs, rank],
              [rank, outputs],
            ];
    allowed.set(`${path}.lora_a`, String(a)).set(`${path}.lora_b`, String(b));
    if (config['fine_tune_type'] === 'dora') allowed.set(`${path}.m`, String([outputs]));
  }
  await using file = await openSafetensors(join(directory, 'adapters.safetensors'));
  for (const { name, shape, dtype } of file.tensors.values()) if (allowed.get(name) !== String(shape) || dtype !== 'F32') complaints.push(name);
  for (const name of allowed.keys()) if (!file.tensors.has(name)) complaints.push(`${name} is missing`);
  return complaints;
}

const EXPERTS: BaseModule = { path: 'model.layers.1.mlp.switch_mlp.up_proj', kind: 'experts', inputs: 8, outputs: 20, experts: 3 };
const table = (adapter: LowRankAdapter): AdapterModule[] => [...adapter.modules.values()];
const product = ({ a, b, rank, inputs, outputs, scale }: AdapterModule): number[] =>
  Array.from({ length: outputs * inputs }, (_, at) => {
    const [row, column] = [Math.floor(at / inputs), at % inputs];
    let sum = 0;
    for (let j = 0; j < rank; j++) sum += b[row * rank + j]! * a[j * inputs + column]!;
    return scale * sum;
  });

describe('files for mlx-lm', () => {
  it('[formats F17] the config has sorted keys, an indent of 4, the whole training and no absolute path', async () => {
    const directory = fresh();
    const training = {
      seed: 7,
      batch_size: 4,
      data: '/home/someone/data',
      adapter_path: '/tmp/out',
      lora_parameters: { dropout: 0.05, keys: null },
      nested: { z: [1], a: {} },
    };
    await writeMlxAdapter(directory, makeTinyAdapter(await goldenModules(), { scale: 20 }), { model: 'org/base', training });
    const text = await readFile(join(directory, 'adapter_config.json'), 'utf8');
    const config = JSON.parse(text) as Record<string, unknown>;
    expect(text).toBe(`${JSON.stringify(config, null, 4)}\n`);
    const sorted = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || Array.isArray(value)
        ? true
        : Object.keys(value).every((key, i, all) => i === 0 || all[i - 1]! < key) && Object.values(value).every(sorted);
    expect(sorted(config)).toBe(true);
    expect(text).not.toMatch(/"\//);
    expect(config).toMatchObject({ model: 'org/base', seed: 7, batch_size: 4, fine_tune_type: 'lora', lora_parameters: { rank: 4, scale: 20, dropout: 0.05 } });
  });

  it.each([
    ['LoRA', {}],
    ['DoRA', { dora: true }],
  ])('[formats F17] a replica of the loader takes %s adapters of every kind of module, and they read back equal', async (_, options) => {
    const modules = [...(await goldenModules()), ...('dora' in options ? [] : [EXPERTS])];
    const adapter = makeTinyAdapter(modules, options);
    const directory = fresh();
    await writeMlxAdapter(directory, adapter);
    expect(await loaderComplaints(directory, modules)).toEqual([]);
    expect(table((await readAdapter(directory)) as LowRankAdapter)).toEqual(table(adapter));
  });

  it('[formats F17] the replica complains of each thing that the loader refuses', async () => {
    const modules = await goldenModules();
    const directory = fresh();
    const tensors = { 'model.layers.0.mlp.up_proj.lora_a': { shape: [2, 2], values: [1, 2, 3, 4] }, stray: { shape: [1], values: [1] } };
    await writeRawAdapter(directory, { fine_tune_type: 'lora', lora_parameters: { rank: 4, scale: 1 } }, 'adapters.safetensors', tensors);
    expect(await loaderComplaints(directory, modules)).toEqual(expect.arrayContaining(['num_layers', 'dropout', 'stray', 'model.layers.0.mlp.up_proj.lora_a']));
  });

  const python = join(import.meta.dirname, '../../../.env-reference/bin/python');
  const script = join(import.meta.dirname, '../../../test/reference/load-adapter.py');
  it.skipIf(!existsSync(python))(
    '[formats F17] mlx-lm itself loads it and gives the same table (skipped without .env-reference)',
    { timeout: 120_000 },
    async () => {
      const modules = await goldenModules();
      for (const options of [{}, { dora: true }]) {
        // mlx-lm cannot make a DoRA layer of a quantised embedding.
        const adapter = makeTinyAdapter(
          modules.filter((module) => module.kind === 'linear' || !('dora' in options)),
          options,
        );
        const directory = fresh();
        await writeMlxAdapter(directory, adapter);
        const loaded = JSON.parse(execFileSync(python, [script, GOLDEN, directory], { encoding: 'utf8', env: { HF_HUB_OFFLINE: '1' } })) as Record<
          string,
          number[]
        >;
        const leaves = 'dora' in options ? 3 : 2;
        expect(Object.keys(loaded)).toHaveLength(adapter.modules.size * leaves);
        const q = adapter.modules.get('model.layers.1.self_attn.q_proj')!;
        const sum = (values: Float32Array): number => values.reduce((total, x) => total + x, 0);
        expect(loaded['model.layers.1.self_attn.q_proj.lora_a']).toEqual([q.inputs, q.rank, expect.closeTo(sum(q.a), 3)]);
        expect(loaded['model.layers.1.self_attn.q_proj.lora_b']).toEqual([q.rank, q.outputs, expect.closeTo(sum(q.b), 3)]);
      }
    },
  );

  it('other scales go into B, other ranks are refused', async () => {
    const modules = (await goldenModules()).slice(0, 3);
    const adapter = makeTinyAdapter(modules, { scale: 2 });
    const [first, ...rest] = table(adapter);
    const mixed: LowRankAdapter = {
      ...adapter,
      modules: new Map([[first!.path, { ...first!, scale: 5 }], ...rest.map((module) => [module.path, module] as const)]),
    };
    const directory = fresh();
    await writeMlxAdapter(directory, mixed);
    const read = table((await readAdapter(directory)) as LowRankAdapter);
    expect(read.map((module) => module.scale)).toEqual([2, 2, 2]);
    const wanted = product({ ...first!, scale: 5 });
    for (const [i, value] of product(read[0]!).entries()) expect(value).toBeCloseTo(wanted[i]!, 5);
    const other = makeTinyAdapter([modules[0]!], { rank: 8 });
    const ranks: LowRankAdapter = { ...adapter, modules: new Map([...adapter.modules, ...other.modules]) };
    await expect(writeMlxAdapter(fresh(), ranks)).rejects.toMatchObject({ code: 'adapter_kind_unsupported' });
  });
});

describe('files for mlx-vlm', () => {
  it('the new form lies under language_model and reads to the same table', async () => {
    const adapter = makeTinyAdapter((await goldenModules()).filter((module) => module.kind === 'linear'));
    const directory = fresh();
    await writeMlxAdapter(directory, adapter, { vision: true });
    await using file = await openSafetensors(join(directory, 'adapters.safetensors'));
    expect([...file.tensors.keys()].every((name) => name.startsWith('language_model.model.layers.'))).toBe(true);
    const read = (await readAdapter(directory)) as LowRankAdapter;
    expect([read.format, table(read)]).toEqual(['mlx-vlm', table(adapter)]);
  });
});

describe('files for PEFT', () => {
  it.each([
    ['LoRA', {}],
    ['DoRA', { dora: true }],
  ])('[formats F19] %s export and import give equal tensors', async (_, options) => {
    const modules = (await goldenModules()).filter((module) => module.kind === 'linear' || !('dora' in options));
    const adapter = makeTinyAdapter(modules, options);
    const directory = fresh();
    await writePeftAdapter(directory, adapter, { baseModel: 'org/base' });
    const read = (await readAdapter(directory)) as LowRankAdapter;
    expect(read).toMatchObject({ kind: adapter.kind, format: 'peft', baseModel: 'org/base' });
    expect(table(read)).toEqual(table(adapter));
    const config = JSON.parse(await readFile(join(directory, 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({ peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 4, lora_alpha: 8, use_rslora: false, use_dora: 'dora' in options });
    const { a, b, inputs, outputs } = adapter.modules.get('model.layers.0.mlp.up_proj')!;
    await using file = await openSafetensors(join(directory, 'adapter_model.safetensors'));
    const floats = async (name: string): Promise<Float32Array> => new Float32Array((await file.readTensor(name)).slice().buffer);
    expect(await floats('base_model.model.model.layers.0.mlp.up_proj.lora_A.weight')).toEqual(a);
    expect(await floats('base_model.model.model.layers.0.mlp.up_proj.lora_B.weight')).toEqual(b);
    expect(file.tensors.get('base_model.model.model.layers.0.mlp.up_proj.lora_B.weight')!.shape).toEqual([outputs, 4]);
    expect(file.tensors.get('base_model.model.model.layers.0.mlp.up_proj.lora_A.weight')!.shape).toEqual([4, inputs]);
  });

  it('[formats F19] different ranks and scales survive as patterns', async () => {
    const modules = await goldenModules();
    const parts = [modules.slice(0, 4), modules.slice(4, 6), modules.slice(6, 9)].map((own, i) =>
      makeTinyAdapter(own, { rank: [4, 8, 4][i]!, scale: [2, 2, 0.5][i]!, seed: i + 1 }),
    );
    const adapter: LowRankAdapter = { ...parts[0]!, modules: new Map(parts.flatMap((part) => [...part.modules]).toSorted(([x], [y]) => (x < y ? -1 : 1))) };
    const directory = fresh();
    await writePeftAdapter(directory, adapter);
    expect(table((await readAdapter(directory)) as LowRankAdapter)).toEqual(table(adapter));
  });

  it('[formats F19] rslora divides alpha by the root of the rank, and patterns count for the modules that they end', async () => {
    const q = { shape: [16, 8], values: new Float32Array(128) };
    const qB = { shape: [12, 16], values: new Float32Array(192) };
    const [wide, wideB] = [
      { shape: [4, 8], values: new Float32Array(32) },
      { shape: [12, 4], values: new Float32Array(48) },
    ];
    const names = (path: string, a: object, b: object) => ({ [`base_model.model.${path}.lora_A.weight`]: a, [`base_model.model.${path}.lora_B.weight`]: b });
    const tensors = {
      ...names('model.layers.0.self_attn.q_proj', q, qB),
      ...names('model.layers.1.self_attn.q_proj', q, qB),
      ...names('model.layers.0.self_attn.xq_proj', wide, wideB),
      ...names('model.layers.1.self_attn.v_proj', wide, wideB),
    } as Parameters<typeof writeRawAdapter>[3];
    const directory = fresh();
    const patterns = { rank_pattern: { q_proj: 16 }, alpha_pattern: { '^model.layers.1.self_attn.q_proj': 32, 'self_attn.v_proj': 6 } };
    await writeRawAdapter(directory, { peft_type: 'LORA', r: 4, lora_alpha: 8, use_rslora: true, ...patterns }, 'adapter_model.safetensors', tensors);
    const read = ((await readAdapter(directory)) as LowRankAdapter).modules;
    const scales = [...read].map(([path, module]) => [path.replace('model.layers.', ''), module.rank, module.scale]);
    expect(scales).toEqual([
      ['0.self_attn.q_proj', 16, 2],
      ['0.self_attn.xq_proj', 4, 4],
      ['1.self_attn.q_proj', 16, 8],
      ['1.self_attn.v_proj', 4, 3],
    ]);
  });

  it('experts, and DoRA of an embedding, are refused', async () => {
    const embedding = (await goldenModules()).at(-1)!;
    await expect(writePeftAdapter(fresh(), makeTinyAdapter([EXPERTS]))).rejects.toMatchObject({ code: 'adapter_kind_unsupported' });
    await expect(writePeftAdapter(fresh(), makeTinyAdapter([embedding], { dora: true }))).rejects.toMatchObject({ code: 'adapter_kind_unsupported' });
  });
});
