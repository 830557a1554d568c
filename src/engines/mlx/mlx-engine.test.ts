import { execFile } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { GREEDY, never, request, startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import { NO_ENVIRONMENT, testEnvironment } from '../../../test/support/mlx-environment.ts';
import { hasEnded } from '../../../test/support/process-state.ts';
import type { GenerateEvent } from '../../contract/index.ts';
import { createSupervisor } from '../../supervisor/index.ts';
import { createEmberEngine, createMlxEngine } from '../index.ts';
import { MLX_MODEL_TYPES } from './model-types.ts';

const environments = testEnvironment();
const suite = environments === null ? describe.skip : describe;
const why = environments === null ? ` (skipped: ${NO_ENVIRONMENT})` : '';
const REFERENCE = join(import.meta.dirname, '../../../test/reference/adapters');
/** The first token of the text worker takes seconds on a busy CPU. */
const SLOW = 120_000;

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const places = { convertedDirectory: join(home.path, 'converted'), adaptersDirectory: join(home.path, 'adapters') };
const engine = createMlxEngine({ environments: environments ?? { current: () => null, verify: async () => {} }, ...places });

suite(`mlx with its environment${why}`, () => {
  test.each(['qwen3-q8-g32', 'gemma2-bf16', 'phi3-q4-g32', 'mixtral-q4-g64', 'gpt-oss-mxfp4', 'mamba2-bf16', 'llama-f16'])(
    'gives the tokens of the reference for %s, as ember does',
    async (name) => {
      const { facts, golden } = makeGoldenModel(join(home.path, name), { name });
      await using running = await startEngine(engine, facts, { contextTokens: 256 });
      const answer = await running.ask({ tokens: golden.prompt, maxTokens: golden.greedy.length });
      expect(answer.text).toBe(golden.text);
    },
    SLOW,
  );

  test(
    'penalties, bias and cut-offs choose the tokens that ember chooses on the same numbers',
    async () => {
      const { facts, golden } = makeGoldenModel(join(home.path, 'f32'), { name: 'llama-f32-biases' });
      const samplings = [
        { ...GREEDY, repetitionPenalty: 8 },
        { ...GREEDY, presencePenalty: 15 },
        { ...GREEDY, frequencyPenalty: 12, repetitionPenalty: 4, repetitionContextSize: 40 },
        { ...GREEDY, logitBias: { [golden.greedy[3]!]: -100, [golden.greedy[7]!]: 6 } },
        { ...GREEDY, temperature: 1, topK: 1, seed: 3 },
        { ...GREEDY, temperature: 1, topP: 1e-4, seed: 3 },
        { ...GREEDY, temperature: 1, minP: 1, seed: 3 },
      ];
      const texts = async (one: typeof engine, options: object): Promise<string[]> => {
        await using running = await startEngine(one, facts, options);
        const found: string[] = [];
        for (const sampling of samplings) found.push((await running.ask({ tokens: golden.prompt, maxTokens: 40, sampling })).text);
        return found;
      };
      const ours = await texts(createEmberEngine(places), { contextTokens: 256, activations: 'f32', threads: 1 });
      expect(await texts(engine, { contextTokens: 256 })).toEqual(ours);
      expect(new Set(ours).size).toBeGreaterThan(4);
    },
    SLOW,
  );

  test(
    'a cut-off keeps the tokens that it should: none of the others is ever drawn',
    async () => {
      const { facts, golden } = makeGoldenModel(join(home.path, 'cuts'));
      await using running = await startEngine(engine, facts, { contextTokens: 256 });
      const drawn = async (sampling: object): Promise<Set<string>> => {
        const asked = Array.from({ length: 40 }, (_, seed) =>
          running.ask({ tokens: golden.prompt, maxTokens: 1, sampling: { ...GREEDY, temperature: 8, seed, ...sampling } }),
        );
        return new Set((await Promise.all(asked)).map(({ text }) => text));
      };
      expect((await drawn({})).size).toBeGreaterThan(10);
      expect((await drawn({ topK: 3 })).size).toBeLessThanOrEqual(3);
      expect((await drawn({ topK: 3 })).size).toBeGreaterThan(1);
      expect((await drawn({ topP: 0.5 })).size).toBe(1);
      // Everything above the threshold but the least likely leaves: at a threshold of nothing only the least likely token is left.
      expect((await drawn({ topK: 3, xtcProbability: 1, xtcThreshold: 0 })).size).toBe(1);
    },
    SLOW,
  );

  test(
    'a reader that stops is waited for: no more is made than it may be ahead, others go on, and the text is what it would have been',
    async () => {
      const { facts, golden, eosId } = makeGoldenModel(join(home.path, 'unread'));
      await using running = await startEngine(engine, facts, { contextTokens: 2_048, parallelSequences: 1 });
      const asked = { tokens: golden.prompt, maxTokens: 700, sampling: { ...GREEDY, logitBias: { [eosId]: -100 } }, cacheSalt: 'one' };
      const alone = (await running.ask(asked)).text;
      const made = async (): Promise<number> => (await running.session.stats()).generatedTokens;
      const before = await made();
      const reader = running.session.generate(request(asked), never)[Symbol.asyncIterator]();
      expect((await reader.next()).value).toMatchObject({ kind: 'start' });
      await expect.poll(made, { timeout: SLOW }).toBeGreaterThanOrEqual(before + 256);
      // The only place is free for another, though the first answer is not at its end.
      expect((await running.ask({ ...asked, maxTokens: 3 })).text).toBe(alone.slice(0, (await running.ask({ ...asked, maxTokens: 3 })).text.length));
      expect((await made()) - before).toBe(256 + 2 * 3);
      let text = '';
      for (let next = await reader.next(); next.done !== true; next = await reader.next()) if (next.value.kind === 'text-delta') text += next.value.text;
      expect(text).toBe(alone);
    },
    SLOW,
  );

  test(
    '[engines E36] generates, batches, cancels, and swaps adapters between the steps of one base',
    async () => {
      const { facts, golden, eosId } = makeGoldenModel(join(home.path, 'base'));
      const names = ['llama-q4-attention', 'llama-q4-mlp', 'llama-q4-embeddings', 'llama-q4-dora'];
      for (const name of names) cpSync(join(REFERENCE, name, 'mlx'), join(places.adaptersDirectory, name), { recursive: true });
      await using running = await startEngine(engine, facts, { contextTokens: 1_024, parallelSequences: 8 });
      const ask = (more: object = {}) => running.ask({ tokens: golden.prompt, maxTokens: 24, sampling: { ...GREEDY, logitBias: { [eosId]: -100 } }, ...more });
      const alone = (await ask()).text;
      for (const name of names) expect(await running.session.adapters.load(name, name)).toMatchObject({ name, kind: name.endsWith('dora') ? 'dora' : 'lora' });
      await expect(running.session.adapters.load('fifth', names[0]!)).rejects.toMatchObject({ code: 'adapter_limit' });
      const solo: string[] = [];
      for (const name of names) solo.push((await ask({ adapter: { name, scale: 1 } })).text);
      const together = await Promise.all([ask(), ...names.map((name) => ask({ adapter: { name, scale: 1 } })), ask({ adapter: { name: names[1], scale: 0 } })]);
      expect(together.map(({ text }) => text)).toEqual([alone, ...solo, alone]);
      expect(new Set([alone, ...solo]).size).toBeGreaterThan(3);

      // Beside a stream that is cancelled: the others end as before, and its sequence is free.
      const abort = new AbortController();
      const events: GenerateEvent[] = [];
      const cancelled = (async () => {
        for await (const event of running.session.generate(
          request({ prompt: 'x', maxTokens: 900, sampling: { ...GREEDY, logitBias: { [eosId]: -100 } } }),
          abort.signal,
        )) {
          events.push(event);
          if (event.kind === 'text-delta') abort.abort();
        }
      })();
      const beside = await Promise.all(Array.from({ length: 4 }, () => ask()));
      await cancelled;
      expect(beside.map(({ text }) => text)).toEqual([alone, alone, alone, alone]);
      expect(events.at(-1)).toMatchObject({ kind: 'error', code: 'cancelled' });
      await expect.poll(async () => (await running.session.stats()).running).toBe(0);
      const stats = await running.session.stats();
      expect(stats.batchSizes.length).toBeGreaterThan(4);
      expect(stats.adapterBytes).toBeGreaterThan(0);
      for (const name of names) await running.session.adapters.unload(name);
      expect([(await running.session.stats()).adapterBytes, (await ask()).text]).toEqual([0, alone]);
    },
    SLOW,
  );

  test(
    'answers that outgrow the pool together wait for room, and end with the text of their solo runs',
    async () => {
      const { facts, golden, eosId } = makeGoldenModel(join(home.path, 'pool'));
      await using running = await startEngine(engine, facts, { contextTokens: 128, parallelSequences: 3 });
      const ask = () => running.ask({ tokens: golden.prompt, maxTokens: 60, sampling: { ...GREEDY, logitBias: { [eosId]: -100 } } });
      const alone = (await ask()).text;
      expect((await Promise.all([ask(), ask(), ask()])).map(({ text }) => text)).toEqual([alone, alone, alone]);
    },
    SLOW,
  );

  test(
    '[engines E37] the worker runs isolated, sees no foreign variable and holds no network socket',
    async () => {
      const { facts } = makeGoldenModel(join(home.path, 'isolated'));
      await using supervisor = createSupervisor({
        environment: { PATH: '/usr/bin:/bin', HF_TOKEN: 'secret', PYTHONPATH: home.path, PYTHONSTARTUP: '/x', OPENAI_API_KEY: 'secret', LANG: 'C.UTF-8' },
      });
      const spec = engine.processSpec(await engine.prepare(facts, () => {}, never), {})!;
      expect(spec.args.slice(0, 2)).toEqual(['-I', '-B']);
      expect(JSON.stringify(spec)).not.toMatch(/https?:\/\//);
      const child = await supervisor.start(spec);
      const session = await engine.connect(child.channel, never);
      await session.load({ contextTokens: 128 }, () => {}, never);
      if (process.platform === 'linux') {
        const environ = readFileSync(`/proc/${child.pid}/environ`, 'utf8').split('\0');
        const names = environ.filter((each) => each !== '').map((each) => each.split('=')[0]!);
        expect(
          names.filter((name) => !/^(PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|HF_HUB_OFFLINE|TRANSFORMERS_OFFLINE|MLX_DISABLE_COMPILE|HEARTH_\w+)$/.test(name)),
        ).toEqual([]);
        const tcp = ['tcp', 'tcp6', 'udp', 'udp6'].map((kind) => readFileSync(`/proc/${child.pid}/net/${kind}`, 'utf8')).join('');
        const sockets = readdirSync(`/proc/${child.pid}/fd`).flatMap((fd) => /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${child.pid}/fd/${fd}`))?.[1] ?? []);
        expect(sockets.length).toBeGreaterThan(0);
        for (const inode of sockets) expect(tcp).not.toMatch(new RegExp(`\\b${inode}\\b`));
        expect(readFileSync(`/proc/${child.pid}/status`, 'utf8')).toMatch(/^Seccomp:\s*2$/m);
      }
      await session.close();
      expect(await hasEnded(child.pid)).toBe(true);
    },
    SLOW,
  );

  test('a model that mlx cannot open is refused with its reason, and nothing is left', async () => {
    const { facts } = makeGoldenModel(join(home.path, 'broken'), { config: { num_hidden_layers: 9 } });
    await expect(startEngine(engine, facts, {})).rejects.toMatchObject({ code: 'model_load_failed', message: expect.stringContaining('mlx could not load') });
  });

  test('the shipped table of architectures is that of the environment', async () => {
    const program = `
import importlib, json, pkgutil
import mlx_lm.models as models
from mlx_lm.utils import MODEL_REMAPPING
names = [m.name for m in pkgutil.iter_modules(models.__path__)]
def whole(name):
    try: module = importlib.import_module('mlx_lm.models.' + name)
    except BaseException: return False
    return hasattr(module, 'Model') and hasattr(module, 'ModelArgs')
found = [n for n in names if whole(n)]
print('\\n' + json.dumps(found + list(MODEL_REMAPPING)))`;
    const { stdout } = await promisify(execFile)(environments!.current()!.python, ['-I', '-B', '-c', program]);
    const there = new Set((JSON.parse(stdout.trim().split('\n').at(-1)!) as string[]).filter((name) => !name.startsWith('llama4')));
    expect([...MLX_MODEL_TYPES].filter((name) => !there.has(name))).toEqual([]);
    expect([...there].filter((name) => !MLX_MODEL_TYPES.has(name))).toEqual([]);
  }, 60_000);
});

describe('mlx without an environment', () => {
  const bare = createMlxEngine({ environments: { current: () => null, verify: async () => {} }, ...places });
  const { facts } = makeGoldenModel(join(home.path, 'bare'));

  test('tells what is missing and how to get it, and starts nothing', async () => {
    expect(bare.unavailable?.()).toContain('hearth engines install mlx');
    expect(await bare.probe(never)).toMatchObject({ available: false, fix: expect.stringContaining('hearth engines install mlx') });
    await expect(bare.prepare(facts, () => {}, never)).rejects.toMatchObject({ code: 'dependency_missing' });
  });

  test('judges models by their config alone', () => {
    expect(bare.canRun(facts)['text']).toMatchObject({ ok: true, engine: 'mlx' });
    expect(bare.canRun({ ...facts, architecture: 'nothing_known' })['text']).toMatchObject({ ok: false });
    expect(bare.canRun({ ...facts, config: { ...facts.config, model_file: 'evil.py' } })['text']).toMatchObject({
      ok: false,
      reason: expect.stringContaining('never run'),
    });
    expect(bare.canRun(facts)['vision']).toMatchObject({ ok: false });
  });
});
