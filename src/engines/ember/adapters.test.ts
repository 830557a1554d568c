import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GREEDY, never, type RunningEngine, request, startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { writeFusedModel } from '../../../test/support/fused-model.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import type { GenerateRequest } from '../../contract/index.ts';
import type { ModelFacts } from '../../core/index.ts';
import { type LowRankAdapter, readAdapter } from '../../formats/index.ts';
import { createEmberEngine } from '../index.ts';

const REFERENCE = join(import.meta.dirname, '../../../test/reference/adapters');
const OPTIONS = { contextTokens: 512, activations: 'f32', kvType: 'f32', threads: 1, parallelSequences: 8 };
/** Of one base: attention, mlp, embeddings, DoRA. */
const NAMES = ['llama-q4-attention', 'llama-q4-mlp', 'llama-q4-embeddings', 'llama-q4-dora'];

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const adaptersDirectory = join(home.path, 'adapters');
const engine = createEmberEngine({ convertedDirectory: join(home.path, 'converted'), adaptersDirectory });
let facts: ModelFacts;
let prompt: readonly number[];
/** Never drawn, so that answers last. */
let endId: number;

beforeAll(() => {
  const base = makeGoldenModel(join(home.path, 'base'));
  facts = base.facts;
  prompt = base.golden.prompt;
  endId = base.eosId;
  mkdirSync(adaptersDirectory);
  for (const name of NAMES) cpSync(join(REFERENCE, name, 'mlx'), join(adaptersDirectory, name), { recursive: true });
});

const tokens = (more: Partial<GenerateRequest> = {}): Partial<GenerateRequest> => ({
  tokens: prompt,
  maxTokens: 40,
  sampling: { ...GREEDY, logitBias: { [endId]: -100 } },
  ...more,
});
const withAdapter = (name: string, scale = 1): Partial<GenerateRequest> => tokens({ adapter: { name, scale } });

/** What the model with the adapter fused into it says. */
async function fusedText(name: string, scale = 1): Promise<string> {
  const directory = join(home.path, `fused-${name}-${scale}`);
  await writeFusedModel(facts.directory, (await readAdapter(join(REFERENCE, name, 'mlx'))) as LowRankAdapter, directory, scale);
  const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as ModelFacts['config'];
  await using running = await startEngine(engine, { ...facts, directory, config }, OPTIONS);
  return (await running.ask(tokens())).text;
}

describe('adapters of requests', () => {
  it('[engines E29] four adapters and the base, asked at once, say what the fused models say; the base is loaded once', async () => {
    await using running = await startEngine(engine, facts, OPTIONS);
    expect(engine.capabilities(facts, OPTIONS).adaptersPerRequest).toBe(true);
    const solo = (await running.ask(tokens())).text;
    for (const name of NAMES) expect(await running.session.adapters.load(name, name)).toMatchObject({ name, kind: name.endsWith('dora') ? 'dora' : 'lora' });
    const answers = await Promise.all([running.ask(tokens()), ...NAMES.map((name) => running.ask(withAdapter(name)))]);
    const texts = answers.map(({ text }) => text);
    expect(texts).toEqual([solo, ...(await Promise.all(NAMES.map((name) => fusedText(name))))]);
    expect(new Set(texts).size).toBeGreaterThan(3);
    const stats = await running.session.stats();
    expect(stats.memory.weightsBytes).toBe(running.report.measured.weightsBytes);
    const reports = await running.session.adapters.list();
    expect(reports.map(({ name }) => name)).toEqual(NAMES);
    expect(stats.adapterBytes).toBe(reports.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0));
  });

  it("the request's scale counts", async () => {
    await using running = await startEngine(engine, facts, OPTIONS);
    await running.session.adapters.load('a', 'llama-q4-attention');
    const [none, half, most] = await Promise.all([0, 0.5, 2].map((scale) => running.ask(withAdapter('a', scale))));
    expect(none!.text).toBe((await running.ask(tokens())).text);
    expect(half!.text).toBe(await fusedText('llama-q4-attention', 0.5));
    expect(most!.text).toBe(await fusedText('llama-q4-attention', 2));
  });

  it('evaluated prefixes belong to one adapter at one scale', async () => {
    await using running = await startEngine(engine, facts, OPTIONS);
    await running.session.adapters.load('a', 'llama-q4-attention');
    const long = Array.from({ length: 100 }, (_, i) => prompt[i % prompt.length]!);
    const ask = (more: Partial<GenerateRequest>) => running.ask({ tokens: long, maxTokens: 8, cacheSalt: 's', ...more });
    const cached = async (more: Partial<GenerateRequest> = {}) => (await ask(more)).usage?.cachedTokens;
    const adapter = { name: 'a', scale: 1 };
    expect([await cached(), await cached()]).toEqual([0, 96]);
    expect([await cached({ adapter }), await cached({ adapter }), await cached({ adapter: { name: 'a', scale: 0.5 } })]).toEqual([0, 96, 0]);
    await running.session.adapters.unload('a');
    await running.session.adapters.load('a', 'llama-q4-mlp');
    expect(await cached({ adapter })).toBe(0);
    expect((await ask({ adapter })).text).not.toBe((await ask({})).text);
  });

  it('an adapter comes and goes while another stream runs; it stays until its own streams have ended', async () => {
    await using running = await startEngine(engine, facts, OPTIONS);
    const { adapters } = running.session;
    await adapters.load('a', 'llama-q4-attention');
    const more = { maxTokens: 400 };
    const wanted = (await running.ask({ ...withAdapter('a'), ...more })).text;
    const stream = running.session.generate(request({ ...withAdapter('a'), ...more }), never)[Symbol.asyncIterator]();
    let text = '';
    const read = async (): Promise<boolean> => {
      const { value, done } = await stream.next();
      if (value?.kind === 'text-delta') text += value.text;
      return done !== true;
    };
    while (text === '') await read();
    const unloading = adapters.unload('a').then(async () => (await running.session.stats()).running);
    await adapters.load('b', 'llama-q4-mlp');
    expect((await running.ask(withAdapter('a'))).error).toMatchObject({ code: 'adapter_not_found' });
    while (await read());
    expect(text).toBe(wanted);
    expect(await unloading).toBe(0);
    expect((await adapters.list()).map(({ name }) => name)).toEqual(['b']);
    expect((await running.ask(withAdapter('b'))).text).toBe(await fusedText('llama-q4-mlp'));
  });

  it('cancelled requests, running and waiting, free their adapter', async () => {
    await using running = await startEngine(engine, facts, { ...OPTIONS, parallelSequences: 1 });
    await running.session.adapters.load('a', 'llama-q4-dora');
    const stop = new AbortController();
    const asks = [0, 1].map(() => running.ask({ ...withAdapter('a'), maxTokens: 400 }, stop.signal));
    while ((await running.session.stats()).running === 0);
    stop.abort();
    await Promise.all(asks);
    await running.session.adapters.unload('a');
    expect((await running.session.stats()).adapterBytes).toBe(0);
  });
});

describe('adapters that are refused', () => {
  let running: RunningEngine;
  let before: string;
  beforeAll(async () => {
    running = await startEngine(engine, facts, { ...OPTIONS, residentAdapters: 2 });
    before = (await running.ask(tokens())).text;
  });
  afterAll(() => running[Symbol.asyncDispose]());
  const load = (name: string, directory = name): Promise<string> =>
    running.session.adapters.load(name, directory).then(
      () => 'ok',
      (error: { code: string }) => error.code,
    );
  const change = (name: string, config: (config: Record<string, unknown>) => unknown, weights?: Uint8Array): string => {
    const directory = join(adaptersDirectory, name);
    cpSync(join(REFERENCE, 'llama-q4-attention', 'mlx'), directory, { recursive: true });
    const read = { fine_tune_type: 'lora', num_layers: 2, lora_parameters: { rank: 4, scale: 10, dropout: 0 } };
    writeFileSync(join(directory, 'adapter_config.json'), JSON.stringify(config(read)));
    if (weights) writeFileSync(join(directory, 'adapters.safetensors'), weights);
    return name;
  };

  it('[engines E30] a full fine-tune, an adapter of another base and broken files have codes of their own, and the engine is unharmed', async () => {
    cpSync(join(REFERENCE, 'phi3-q4-fused-modules', 'mlx'), join(adaptersDirectory, 'phi3'), { recursive: true });
    cpSync(join(REFERENCE, 'llama-biases-dora', 'mlx'), join(adaptersDirectory, 'other'), { recursive: true });
    const same = (config: Record<string, unknown>) => config;
    expect(await load(change('full', (config) => ({ ...config, fine_tune_type: 'full' })))).toBe('adapter_kind_unsupported');
    expect(await load('phi3')).toBe('adapter_base_mismatch');
    expect(await load('other')).toBe('adapter_shape_mismatch');
    expect(await load(change('rubbish', same, Uint8Array.of(1, 2, 3)))).toBe('st_file_too_short');
    expect(await load(change('ranks', (config) => ({ ...config, lora_parameters: { rank: 8, scale: 1 } })))).toBe('adapter_rank_mismatch');
    expect(await load(change('layers', (config) => ({ ...config, num_layers: 1 })))).toBe('adapter_tensor_unknown');
    expect(await load('nowhere')).toBe('adapter_not_found');
    mkdirSync(join(adaptersDirectory, 'empty'));
    expect(await load('empty')).toBe('adapter_config_missing');
    expect((await running.ask(tokens())).text).toBe(before);
    expect((await running.session.stats()).adapterBytes).toBe(0);
    expect(await load('llama-q4-mlp')).toBe('ok');
    expect((await running.ask(withAdapter('llama-q4-mlp'))).text).toBe(await fusedText('llama-q4-mlp'));
    await running.session.adapters.unload('llama-q4-mlp');
  });

  it('no more are held than the option says, and no name twice', async () => {
    expect(await Promise.all([load('one', NAMES[0]), load('two', NAMES[1])])).toEqual(['ok', 'ok']);
    expect(await load('one', NAMES[2])).toBe('invalid_value');
    expect(await load('three', NAMES[2])).toBe('adapter_limit');
    await running.session.adapters.unload('one');
    expect(await load('three', NAMES[2])).toBe('ok');
    await running.session.adapters.unload('two');
    await running.session.adapters.unload('three');
    await expect(running.session.adapters.unload('three')).rejects.toMatchObject({ code: 'adapter_not_found' });
  });

  it('links that lead out of the directory of adapters are refused, those inside it are not', async () => {
    const outside = join(home.path, 'outside');
    cpSync(join(adaptersDirectory, NAMES[0]!), outside, { recursive: true });
    symlinkSync(outside, join(adaptersDirectory, 'linked'));
    cpSync(join(adaptersDirectory, NAMES[0]!), join(adaptersDirectory, 'mixed'), { recursive: true });
    rmSync(join(adaptersDirectory, 'mixed', 'adapters.safetensors'));
    symlinkSync(join(outside, 'adapters.safetensors'), join(adaptersDirectory, 'mixed', 'adapters.safetensors'));
    symlinkSync(join(adaptersDirectory, NAMES[0]!), join(adaptersDirectory, 'alias'));
    await using running = await startEngine(engine, facts, OPTIONS);
    for (const name of ['linked', 'mixed'])
      await expect(running.session.adapters.load(name, name)).rejects.toMatchObject({ code: 'invalid_value', message: expect.stringContaining('link') });
    expect(await running.session.adapters.load('alias', 'alias')).toMatchObject({ name: 'alias' });
  });

  it('directories elsewhere have no name', async () => {
    for (const directory of ['..', '../base', '.', '/etc', `${REFERENCE}/llama-q4-mlp/mlx`]) expect(await load('x', directory)).toBe('invalid_value');
  });

  it('an engine without a directory of adapters has none', async () => {
    const plain = createEmberEngine({ convertedDirectory: join(home.path, 'converted') });
    expect(plain.capabilities(facts, OPTIONS).adaptersPerRequest).toBe(false);
    await using other = await startEngine(plain, facts, OPTIONS);
    await expect(other.session.adapters.load('a', NAMES[0]!)).rejects.toMatchObject({ code: 'not_implemented' });
    expect((await other.ask(withAdapter('a'))).error).toMatchObject({ code: 'adapter_not_found' });
  });
});
