import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTinyAdapter, type RawTensor, writeRawAdapter } from '../../../test/support/tiny-adapter.ts';
import { type AdapterModule, type LowRankAdapter, transpose } from './adapter-table.ts';
import { type BaseModule, checkAdapter, wrappedModules } from './check-adapter.ts';
import { readAdapter } from './read-adapter.ts';
import { writeMlxAdapter } from './write-mlx.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hearth-adapter-'));
});
afterAll(() => rm(folder, { recursive: true }));
let count = 0;
const fresh = (): string => join(folder, `adapter-${count++}`);

const linear = (path: string, outputs: number, inputs: number): BaseModule => ({ path, kind: 'linear', inputs, outputs, experts: 1 });
const Q = 'model.layers.0.self_attn.q_proj';
const UP = 'model.layers.1.mlp.up_proj';
const LINEARS = [linear(Q, 12, 8), linear(UP, 20, 8)];
const EMBEDDING: BaseModule = { path: 'model.embed_tokens', kind: 'embedding', inputs: 8, outputs: 30, experts: 1 };
const EXPERTS: BaseModule = { path: 'model.layers.1.mlp.switch_mlp.up_proj', kind: 'experts', inputs: 8, outputs: 20, experts: 3 };
const base = (modules: readonly BaseModule[]): Map<string, BaseModule> => new Map(modules.map((module) => [module.path, module]));

const table = (adapter: LowRankAdapter): AdapterModule[] => [...adapter.modules.values()];
const readTable = async (directory: string): Promise<AdapterModule[]> => table((await readAdapter(directory)) as LowRankAdapter);
const tensor = (shape: number[], values: ArrayLike<number>): RawTensor => ({ shape, values });

/** Tensors of every module under names made from its path. */
function files(adapter: LowRankAdapter, name: (path: string, leaf: 'a' | 'b' | 'm') => string, order: 'mlx' | 'peft'): Record<string, RawTensor> {
  const made: Record<string, RawTensor> = {};
  for (const { path, rank, inputs, outputs, a, b, m } of adapter.modules.values()) {
    made[name(path, 'a')] = order === 'peft' ? tensor([rank, inputs], a) : tensor([inputs, rank], transpose(a, rank, inputs));
    made[name(path, 'b')] = order === 'peft' ? tensor([outputs, rank], b) : tensor([rank, outputs], transpose(b, outputs, rank));
    if (m) made[name(path, 'm')] = tensor([outputs], m);
  }
  return made;
}

const mlxName = (path: string, leaf: 'a' | 'b' | 'm'): string => `${path}.${leaf === 'm' ? 'm' : `lora_${leaf}`}`;
const peftName = (path: string, leaf: 'a' | 'b' | 'm'): string =>
  `base_model.model.${path}.${leaf === 'm' ? 'lora_magnitude_vector' : `lora_${leaf.toUpperCase()}.weight`}`;
const mlxConfig = (more: object = {}, parameters: object = {}) => ({
  fine_tune_type: 'lora',
  num_layers: 2,
  lora_parameters: { rank: 4, scale: 2, dropout: 0, ...parameters },
  ...more,
});
const peftConfig = (more: object = {}) => ({ peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 4, lora_alpha: 8, target_modules: ['q_proj', 'up_proj'], ...more });

describe('adapters of every form', () => {
  it('[formats F15] mlx-lm, mlx-vlm new and legacy, and PEFT files of one adapter read to the same table', async () => {
    const adapter = makeTinyAdapter(LINEARS);
    const forms: [format: string, config: object, file: string, tensors: Record<string, RawTensor>][] = [
      ['mlx-lm', mlxConfig({ model: 'org/base' }), 'adapters.safetensors', files(adapter, mlxName, 'mlx')],
      ['mlx-lm', { num_layers: 2, lora_parameters: { rank: 4, scale: 2, dropout: 0 } }, 'adapters.safetensors', files(adapter, mlxName, 'mlx')],
      [
        'mlx-vlm',
        mlxConfig({ num_layers: -1 }, { keys: [Q, UP].map((path) => `language_model.${path}`) }),
        'adapters.safetensors',
        files(adapter, (path, leaf) => `language_model.${mlxName(path, leaf)}`, 'mlx'),
      ],
      [
        'mlx-vlm',
        { rank: 4, alpha: 8, dropout: 0.1 },
        'adapters.safetensors',
        files(adapter, (path, leaf) => `language_model.${path}.${leaf.toUpperCase()}`, 'mlx'),
      ],
      ['peft', peftConfig({ base_model_name_or_path: 'org/base' }), 'adapter_model.safetensors', files(adapter, peftName, 'peft')],
      [
        'peft',
        peftConfig(),
        'adapter_model.safetensors',
        files(adapter, (path, leaf) => peftName(path.replace('model.', 'model.language_model.'), leaf), 'peft'),
      ],
    ];
    for (const [format, config, file, tensors] of forms) {
      const directory = fresh();
      await writeRawAdapter(directory, config, file, tensors);
      const read = (await readAdapter(directory)) as LowRankAdapter;
      expect([format, read.kind, read.format]).toEqual([format, 'lora', format]);
      expect(table(read)).toEqual(table(adapter));
      expect([...checkAdapter(read, base(LINEARS)).keys()]).toEqual([Q, UP]);
      expect(checkAdapter(read, base(LINEARS.map((m) => ({ ...m, path: `language_model.${m.path}` })))).has(`language_model.${Q}`)).toBe(true);
    }
  });

  it('[formats F15] DoRA magnitudes read to the same table from mlx-lm and PEFT', async () => {
    const adapter = makeTinyAdapter(LINEARS, { dora: true });
    const [mlx, peft] = [fresh(), fresh()];
    await writeRawAdapter(mlx, mlxConfig({ fine_tune_type: 'dora' }), 'adapters.safetensors', files(adapter, mlxName, 'mlx'));
    await writeRawAdapter(peft, peftConfig({ use_dora: true }), 'adapter_model.safetensors', files(adapter, peftName, 'peft'));
    expect(await readTable(mlx)).toEqual(table(adapter));
    expect(await readTable(peft)).toEqual(table(adapter));
    expect(table(adapter)[0]!.m).toHaveLength(12);
  });

  it('[formats F15] embeddings and experts are told apart, and their factors become those of the weights', async () => {
    const adapter = makeTinyAdapter([EMBEDDING, EXPERTS]);
    const [embedding, experts] = [adapter.modules.get(EMBEDDING.path)!, adapter.modules.get(EXPERTS.path)!];
    const mlx = fresh();
    await writeRawAdapter(mlx, mlxConfig({}, { keys: [EMBEDDING.path, 'mlp.switch_mlp.up_proj'] }), 'adapters.safetensors', {
      'model.embed_tokens.lora_a': tensor([30, 4], embedding.b),
      'model.embed_tokens.lora_b': tensor([4, 8], embedding.a),
      [`${EXPERTS.path}.lora_a`]: tensor([3, 4, 8], experts.a),
      [`${EXPERTS.path}.lora_b`]: tensor([3, 20, 4], experts.b),
    });
    expect(await readTable(mlx)).toEqual(table(adapter));
    const peft = fresh();
    await writeRawAdapter(peft, peftConfig(), 'adapter_model.safetensors', {
      'base_model.model.model.embed_tokens.lora_embedding_A': tensor([4, 30], transpose(embedding.b, 30, 4)),
      'base_model.model.model.embed_tokens.lora_embedding_B': tensor([8, 4], transpose(embedding.a, 4, 8)),
    });
    expect(await readTable(peft)).toEqual([embedding]);
  });

  it('F16 and BF16 tensors are widened', async () => {
    const directory = fresh();
    await writeRawAdapter(directory, mlxConfig(), 'adapters.safetensors', {
      [`${Q}.lora_a`]: { ...tensor([8, 4], new Float32Array(32).fill(0.5)), dtype: 'F16' },
      [`${Q}.lora_b`]: { ...tensor([4, 12], new Float32Array(48).fill(-3)), dtype: 'BF16' },
    });
    const [module] = await readTable(directory);
    expect([module!.a[31], module!.b[47]]).toEqual([0.5, -3]);
  });

  it('a full fine-tune is recognised', async () => {
    const directory = fresh();
    await writeRawAdapter(directory, { fine_tune_type: 'full', num_layers: 2 }, 'adapters.safetensors', {
      [`${Q}.weight`]: tensor([12, 8], new Float32Array(96)),
    });
    expect(await readAdapter(directory)).toMatchObject({ kind: 'full', tensors: [`${Q}.weight`] });
  });
});

describe('adapters that cannot be used', () => {
  const adapter = makeTinyAdapter(LINEARS);
  const good = files(adapter, mlxName, 'mlx');
  const without = (name: string): Record<string, RawTensor> => Object.fromEntries(Object.entries(good).filter(([other]) => other !== name));
  const code = async (config: unknown, tensors: Record<string, RawTensor> = good, file = 'adapters.safetensors'): Promise<string> => {
    const directory = fresh();
    await writeRawAdapter(directory, config, file, tensors);
    return codeOf(async () => {
      const read = await readAdapter(directory);
      if (read.kind !== 'full') checkAdapter(read, base(LINEARS));
    });
  };
  const codeOf = async (work: () => Promise<unknown>): Promise<string> =>
    work().then(
      () => 'ok',
      (error: { code: string; message: string }) => error.code,
    );

  it('[formats F16] [agents-training A31] unknown name, missing partner, wrong shape, wrong rank and NaN have a code each', async () => {
    expect(await code(mlxConfig())).toBe('ok');
    const unknown = await Promise.all([
      code(mlxConfig(), { ...good, [`${Q}.lora_c`]: tensor([1], [1]) }),
      code(mlxConfig(), { ...good, [`${Q}.weight`]: tensor([12, 8], new Float32Array(96)) }),
      code(mlxConfig(), { ...good, [`${Q}.m`]: tensor([12], new Float32Array(12)) }),
      code(mlxConfig(), {
        ...good,
        'model.layers.7.mlp.up_proj.lora_a': tensor([8, 4], new Float32Array(32)),
        'model.layers.7.mlp.up_proj.lora_b': tensor([4, 20], new Float32Array(80)),
      }),
      code(mlxConfig({ num_layers: 1 })),
      code(mlxConfig({}, { keys: ['self_attn.q_proj'] })),
      code(peftConfig(), { 'model.layers.0.self_attn.q_proj.lora_A.weight': tensor([4, 8], new Float32Array(32)) }, 'adapter_model.safetensors'),
    ]);
    expect(new Set(unknown)).toEqual(new Set(['adapter_tensor_unknown']));
    for (const name of Object.keys(good)) expect(await code(mlxConfig(), without(name))).toBe('adapter_tensor_missing');
    expect(await code(mlxConfig({ fine_tune_type: 'dora' }))).toBe('adapter_tensor_missing');
    const shape = await Promise.all([
      code(mlxConfig(), { ...good, [`${Q}.lora_a`]: tensor([9, 4], new Float32Array(36)) }),
      code(mlxConfig(), { ...good, [`${Q}.lora_a`]: tensor([32], new Float32Array(32)) }),
      code(mlxConfig(), { ...good, [`${Q}.lora_b`]: tensor([5, 12], new Float32Array(60)) }),
      code(mlxConfig(), { ...good, [`${Q}.lora_a`]: { shape: [8, 4], values: new Uint8Array(32), dtype: 'U8' } }),
    ]);
    expect(new Set(shape)).toEqual(new Set(['adapter_shape_mismatch']));
    expect(await code(mlxConfig({}, { rank: 8 }))).toBe('adapter_rank_mismatch');
    for (const broken of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const values = transpose(adapter.modules.get(Q)!.b, 12, 4);
      values[17] = broken;
      expect(await code(mlxConfig(), { ...good, [`${Q}.lora_b`]: tensor([4, 12], values) })).toBe('adapter_not_finite');
    }
  });

  it('[formats F16] a shape is refused by name, with what was found and what the base has', async () => {
    const directory = fresh();
    await writeRawAdapter(directory, mlxConfig(), 'adapters.safetensors', { ...good, [`${Q}.lora_a`]: tensor([9, 4], new Float32Array(36)) });
    const read = (await readAdapter(directory)) as LowRankAdapter;
    expect(() => checkAdapter(read, base(LINEARS))).toThrow(expect.objectContaining({ details: { module: Q, found: [12, 9], expected: [12, 8] } }));
  });

  it('an adapter of which nothing fits was made for another base', async () => {
    const other = LINEARS.map((module) => ({ ...module, inputs: 16 }));
    expect(await codeOf(async () => checkAdapter(adapter, base(other)))).toBe('adapter_base_mismatch');
    expect(await codeOf(async () => checkAdapter(adapter, base([EMBEDDING])))).toBe('adapter_base_mismatch');
  });

  it('DoRA on experts is refused', async () => {
    const dora = makeTinyAdapter([EXPERTS], { dora: true });
    expect(await codeOf(async () => checkAdapter(dora, base([EXPERTS])))).toBe('adapter_kind_unsupported');
  });

  it.each([
    ['no config', undefined, 'adapter_config_missing'],
    ['no JSON', '{', 'adapter_config_invalid'],
    ['a list', '[]', 'adapter_config_invalid'],
    ['nothing that is known', {}, 'adapter_config_invalid'],
    ['alpha in place of scale', mlxConfig({ lora_parameters: { rank: 4, alpha: 8 } }), 'adapter_config_invalid'],
    ['no rank', mlxConfig({ lora_parameters: { scale: 2 } }), 'adapter_config_invalid'],
    ['a rank beyond reason', mlxConfig({}, { rank: 1e9 }), 'adapter_config_invalid'],
    ['an unknown kind', mlxConfig({ fine_tune_type: 'ia3' }), 'adapter_config_invalid'],
    ['another kind of PEFT', peftConfig({ peft_type: 'LOHA' }), 'adapter_kind_unsupported'],
    ['whole modules', peftConfig({ modules_to_save: ['lm_head'] }), 'adapter_kind_unsupported'],
    ['trained biases', peftConfig({ bias: 'all' }), 'adapter_kind_unsupported'],
    ['a changed base', peftConfig({ init_lora_weights: 'pissa_niter_16' }), 'adapter_kind_unsupported'],
    ['a pattern that is a program', peftConfig({ rank_pattern: { '(a+)+$': 8 } }), 'adapter_config_invalid'],
  ])('[agents-training A31] a config with %s is refused', async (_, config, expected) => {
    expect(await code(config)).toBe(expected);
  });

  it('mutated files give a table or a known code, never another error, and never hang', async () => {
    const [config, file] = [JSON.stringify(mlxConfig({}, { keys: null })), 'adapters.safetensors'];
    const source = fresh();
    await writeRawAdapter(source, config, file, good);
    const tensors = await readFile(join(source, file));
    let state = 77;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state >>> 8) % below;
    };
    const mutate = (bytes: Buffer, within: number): Buffer => {
      const copy = [...bytes];
      for (let edits = 1 + random(3); edits > 0; edits--) {
        const at = random(within);
        const kind = random(4);
        if (kind < 2) copy[at] = random(256);
        else if (kind === 2) copy.splice(at, 1 + random(6));
        else copy.splice(at, 0, ...Buffer.from(['0', '"', '{', ']', '-', '1e99', 'null', 'NaN', '\\u0000'][random(9)]!));
      }
      return Buffer.from(copy);
    };
    const directory = fresh();
    await writeRawAdapter(directory, config, file, good);
    const codes = new Set<string>();
    for (let i = 0; i < 400; i++) {
      const ofConfig = i % 2 === 0;
      await writeFile(join(directory, 'adapter_config.json'), ofConfig ? mutate(Buffer.from(config), config.length) : config);
      await writeFile(join(directory, file), ofConfig ? tensors : mutate(tensors, 600));
      const found = await codeOf(async () => {
        const read = await readAdapter(directory);
        if (read.kind !== 'full') checkAdapter(read, base(LINEARS));
      });
      codes.add(found ?? 'no code');
    }
    expect([...codes].filter((found) => !/^(ok|adapter_\w+|st_\w+)$/.test(found))).toEqual([]);
    expect(codes.size).toBeGreaterThan(8);
  });

  it('a broken or absent tensor file is refused with the code of its fault', async () => {
    const directory = fresh();
    await writeRawAdapter(directory, mlxConfig(), 'adapters.safetensors', good);
    await writeFile(join(directory, 'adapters.safetensors'), 'rubbish');
    expect(await codeOf(() => readAdapter(directory))).toBe('st_file_too_short');
    await rm(join(directory, 'adapters.safetensors'));
    expect(await codeOf(() => readAdapter(directory))).toBe('adapter_tensor_missing');
  });
});

describe('what mlx-lm wraps', () => {
  const paths = ['lm_head', 'model.embed_tokens', ...[0, 1, 2].flatMap((i) => ['self_attn.q_proj', 'mlp.up_proj'].map((name) => `model.layers.${i}.${name}`))];
  const wrapped = (numLayers: number, keys: string[] | null): string[] => [...wrappedModules({ numLayers, keys }, paths)];

  it.each([
    [1, null, ['model.layers.2.self_attn.q_proj', 'model.layers.2.mlp.up_proj']],
    [-1, null, paths.slice(2)],
    [0, null, paths.slice(2)],
    [9, null, paths.slice(2)],
    [2, ['self_attn.q_proj'], ['model.layers.1.self_attn.q_proj', 'model.layers.2.self_attn.q_proj']],
    [1, ['lm_head', 'mlp.up_proj', 'model.layers.0.self_attn.q_proj'], ['lm_head', 'model.layers.0.self_attn.q_proj', 'model.layers.2.mlp.up_proj']],
  ] as const)('num_layers %i with keys %j', (numLayers, keys, expected) => {
    expect(wrapped(numLayers, keys as string[] | null)).toEqual(expected);
  });

  it('a file written for some layers is read with them', async () => {
    const directory = fresh();
    await writeMlxAdapter(directory, { ...makeTinyAdapter(LINEARS), selection: { numLayers: 2, keys: null } });
    expect(await readAdapter(directory)).toMatchObject({ selection: { numLayers: 2, keys: null } });
  });
});
