import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKPOINT_CODES, isErrorCode, SAFETENSORS_CODES } from '../../src/contract/index.ts';
import type { HearthError } from '../../src/core/index.ts';
import type * as engines from '../../src/engines/index.ts';
import { createSupervisor } from '../../src/supervisor/index.ts';
import { type BrokenCheckpoint, copyCheckpoint, fuzzed, HAND_BROKEN } from '../support/broken-checkpoints.ts';
import { never, type RunningEngine, startEngine, temporaryDirectory } from '../support/engine-run.ts';
import { type GoldenModel, makeGoldenModel } from '../support/golden-model.ts';
import { hasEnded } from '../support/process-state.ts';

/** Two at a time, as many as there are cores in the smallest machine that runs tests. */
const PARALLEL = 2;
const FUZZED = 250;
const OPTIONS = { contextTokens: 64, threads: 1 };
const ALLOWED: ReadonlySet<string> = new Set(['model_load_failed', 'tokenizer_invalid', 'not_implemented', ...SAFETENSORS_CODES, ...CHECKPOINT_CODES]);

const root = join(import.meta.dirname, '../..');
/** Below node_modules, where its imports are found. A compiled child starts in a third of the time. */
const built = join(root, 'node_modules/.cache/hearth-bad-checkpoints');
const home = temporaryDirectory();
afterAll(() => {
  home[Symbol.dispose]();
  rmSync(built, { recursive: true, force: true });
});

let engine: engines.Engine;
let good: GoldenModel;
let healthy: RunningEngine;
beforeAll(async () => {
  mkdirSync(join(built, 'dist/ember'), { recursive: true });
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  execFileSync(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--noCheck', '--declaration', 'false', '--outDir', join(built, 'dist')], {
    cwd: root,
  });
  cpSync(join(root, 'src/ember/ember.wasm'), join(built, 'dist/ember/ember.wasm'));
  writeFileSync(join(built, 'package.json'), '{"type":"module"}');
  const module = (await import(join(built, 'dist/engines/index.js'))) as typeof engines;
  engine = module.createEmberEngine({ convertedDirectory: join(home.path, 'converted') });
  good = makeGoldenModel(join(home.path, 'good'));
  healthy = await startEngine(engine, good.facts, OPTIONS);
});
afterAll(async () => healthy?.[Symbol.asyncDispose]());

/** Loads it in a child of its own. Gives the code of the failure, or what came instead. */
async function load(broken: BrokenCheckpoint, directory: string): Promise<string> {
  copyCheckpoint(good.facts.directory, directory);
  broken.breakIt(directory);
  const supervisor = createSupervisor();
  let pid = 0;
  const attempt = async (): Promise<string> => {
    // The facts of the good one: what the child itself finds is asked, not what an earlier check might.
    const prepared = await engine.prepare({ ...good.facts, directory }, () => {}, never);
    const child = await supervisor.start(engine.processSpec(prepared, OPTIONS)!);
    pid = child.pid;
    const session = await engine.connect(child.channel, never);
    await session.load(OPTIONS, () => {}, never);
    return 'it loaded';
  };
  const code = await attempt().catch((error: HearthError) => error.code ?? String(error));
  await supervisor[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
  return pid === 0 || (await hasEnded(pid)) ? code : 'its child is left';
}

test(`[engines E10] ${FUZZED} fuzzed and ${HAND_BROKEN.length} hand-broken checkpoints end in a code of their own, beside a model that goes on answering, and leave no child`, {
  timeout: 900_000,
}, async () => {
  const all = [...HAND_BROKEN, ...Array.from({ length: FUZZED }, (_, n) => fuzzed(n))];
  const wrong: string[] = [];
  const codes = new Map<string, number>();
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < all.length) {
      const place = next++;
      const code = await load(all[place]!, join(home.path, `broken${place}`));
      codes.set(code, (codes.get(code) ?? 0) + 1);
      if (!ALLOWED.has(code) || !isErrorCode(code)) wrong.push(`${all[place]!.title}: ${code}`);
      expect(await healthy.session.health()).toEqual({ ok: true });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  expect(wrong).toEqual([]);
  expect(HAND_BROKEN).toHaveLength(15);
  // Many ways to be broken are told apart.
  expect(codes.size).toBeGreaterThan(8);
  expect((await healthy.ask({ tokens: good.golden.prompt, maxTokens: 4 })).text).toBe(good.golden.text.slice(0, 4));
});
