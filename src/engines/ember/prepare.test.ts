import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { never, startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import type { ModelFacts } from '../../core/index.ts';
import { exportGguf } from '../../formats/index.ts';
import { conversionKey } from '../conversion/conversion.ts';
import { createEmberEngine } from '../index.ts';
import { makeModelView } from '../model-text/model-view.ts';

const FORMATS = new URL('../../formats/index.ts', import.meta.url).href;
const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
let next = 0;
const place = (): string => join(home.path, `p${next++}`);

async function ggufModel(): Promise<{ facts: ModelFacts; text: string; prompt: readonly number[] }> {
  const { facts, golden } = makeGoldenModel(place());
  const directory = place();
  mkdirSync(directory);
  await exportGguf(facts.directory, join(directory, 'tiny.gguf'));
  const weightBytes = statSync(join(directory, 'tiny.gguf')).size;
  return { facts: { ...facts, directory, framework: 'GGUF', weightFiles: ['tiny.gguf'], weightBytes }, text: golden.text, prompt: golden.prompt };
}

describe('preparing a GGUF model', () => {
  test('[formats F25] it is imported once, by as many askers as there are, and gives the golden of the checkpoint that it was made from', async () => {
    const converted = place();
    const engine = createEmberEngine({ convertedDirectory: converted, viewDirectory: place() });
    const { facts, text, prompt } = await ggufModel();
    const progress: number[] = [];
    const results = await Promise.all([1, 2, 3].map(() => engine.prepare(facts, (done) => progress.push(done), never)));
    expect(new Set(results.map((result) => result.directory)).size).toBe(1);
    const [name, ...others] = readdirSync(converted);
    expect(others).toEqual([]);
    expect(name).toMatch(/^[0-9a-f]{32}$/);
    expect(progress.length).toBeGreaterThan(0);
    expect(readdirSync(join(converted, name!)).filter((file) => (statSync(join(converted, name!, file)).mode & 0o077) !== 0)).toEqual([]);
    const report = join(converted, name!, 'conversion.json');
    const first = readFileSync(report, 'utf8');
    progress.length = 0;
    await using running = await startEngine(engine, facts, { contextTokens: 256, activations: 'f32', threads: 1 });
    expect((await running.ask({ tokens: prompt, maxTokens: 64 })).text).toBe(text);
    expect(progress).toEqual([]);
    expect(readFileSync(report, 'utf8')).toBe(first);
  });

  test('a file that changed is imported anew, and a cancelled import leaves nothing and does not stop the other asker', async () => {
    const converted = place();
    const engine = createEmberEngine({ convertedDirectory: converted, viewDirectory: place() });
    const { facts } = await ggufModel();
    const abort = new AbortController();
    // The second asker comes while the first one's import runs.
    let other: Promise<unknown> | undefined;
    const start = () => {
      other ??= engine.prepare(facts, () => {}, never);
      abort.abort();
    };
    const cancelled = engine.prepare(facts, start, abort.signal);
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    await expect(other).resolves.toMatchObject({ facts: { framework: 'MLX', architecture: facts.architecture } });
    expect(readdirSync(converted)).toHaveLength(1);
    utimesSync(join(facts.directory, 'tiny.gguf'), 1_000, 1_000);
    await engine.prepare(facts, () => {}, never);
    expect(readdirSync(converted)).toHaveLength(2);
  });

  test('[formats F37] a second load converts nothing; another file or converter converts anew; a killed import leaves no half model, and its rest is removed', async () => {
    const converted = place();
    const { facts } = await ggufModel();
    const file = join(facts.directory, 'tiny.gguf');
    const importAndDie = async (signal: string) => {
      // A process that is killed in the middle of an import of this very file.
      const program = `import { importGguf } from ${JSON.stringify(FORMATS)};
        await importGguf(${JSON.stringify(file)}, ${JSON.stringify(join(converted, 'a'.repeat(32)))}, { onProgress: () => { process.kill(process.pid, ${JSON.stringify(signal)}); } });`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' });
      return new Promise<string | null>((resolve) => child.on('exit', (_, signal) => resolve(signal)));
    };
    mkdirSync(converted);
    expect(await importAndDie('SIGKILL')).toBe('SIGKILL');
    const left = readdirSync(converted);
    expect(left).toHaveLength(1);
    expect(left[0]).toMatch(/^\.a+\.\d+\.[0-9a-f]+\.partial$/);
    const engine = createEmberEngine({ convertedDirectory: converted, viewDirectory: place() });
    const first = (await engine.prepare(facts, () => {}, never)).sourceDirectory!;
    expect(readdirSync(converted)).toEqual([first.slice(converted.length + 1)]);
    const progress: number[] = [];
    // Another engine on the same home, as after a restart.
    const again = createEmberEngine({ convertedDirectory: converted, viewDirectory: place() });
    expect((await again.prepare(facts, (done) => progress.push(done), never)).sourceDirectory).toBe(first);
    expect(progress).toEqual([]);
    utimesSync(file, 1_000, 1_000);
    const changed = (await again.prepare(facts, (done) => progress.push(done), never)).sourceDirectory;
    expect(changed).not.toBe(first);
    expect(progress.length).toBeGreaterThan(0);
    const keys = await Promise.all(['1', '2'].map((converter) => conversionKey([file], {}, converter)));
    expect(new Set(keys).size).toBe(2);
  });

  test('no file and several files are refused', async () => {
    const engine = createEmberEngine({ convertedDirectory: place() });
    const { facts } = await ggufModel();
    await expect(engine.prepare({ ...facts, weightFiles: [] }, () => {}, never)).rejects.toMatchObject({ code: 'model_load_failed' });
    await expect(engine.prepare({ ...facts, weightFiles: ['a.gguf', 'b.gguf'] }, () => {}, never)).rejects.toMatchObject({ code: 'variant_required' });
  });

  test('it is converted beside the event loop, and what is wrong with the file is told by its own code', async () => {
    const engine = createEmberEngine({ convertedDirectory: place() });
    const { facts } = await ggufModel();
    const threads = () => process.getActiveResourcesInfo().filter((resource) => resource === 'MessagePort').length;
    const before = threads();
    let most = 0;
    await engine.prepare(facts, () => (most = Math.max(most, threads())), never);
    expect(most).toBeGreaterThan(before);
    const file = join(facts.directory, 'tiny.gguf');
    writeFileSync(file, readFileSync(file).subarray(0, 3_000));
    await expect(engine.prepare(facts, () => {}, never)).rejects.toMatchObject({ code: expect.stringMatching(/^gg_/) });
  });
});

test('a view holds links to the files of a checkpoint only, and follows the model when it changes', async () => {
  const directory = place();
  const views = place();
  mkdirSync(join(directory, 'sub'), { recursive: true });
  writeFileSync(join(directory, 'blob'), '{}');
  symlinkSync('blob', join(directory, 'config.json'));
  for (const name of ['model.safetensors', 'tokenizer.json', 'modeling.py', 'run.sh', 'old.json']) writeFileSync(join(directory, name), name);
  const view = await makeModelView(directory, views);
  expect(readdirSync(view).sort()).toEqual(['config.json', 'model.safetensors', 'old.json', 'tokenizer.json']);
  expect(readFileSync(join(view, 'config.json'), 'utf8')).toBe('{}');
  writeFileSync(join(directory, 'blob2'), '{"b":2}');
  rmSync(join(directory, 'config.json'));
  rmSync(join(directory, 'old.json'));
  symlinkSync('blob2', join(directory, 'config.json'));
  const [again, beside] = await Promise.all([makeModelView(directory, views), makeModelView(directory, views)]);
  expect([again, beside]).toEqual([view, view]);
  expect(readdirSync(view).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
  expect(readFileSync(join(view, 'config.json'), 'utf8')).toBe('{"b":2}');
});
