import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ModelFacts } from '../../src/core/index.ts';
import { type AdapterSet, createEmberEngine, type Engine } from '../../src/engines/index.ts';
import { exportGguf } from '../../src/formats/index.ts';
import { withAdmission } from '../../src/gateway/admitted-adapters.ts';
import { createAdmittedModels } from '../../src/gateway/admitted-models.ts';
import { createIntake, type Trust } from '../../src/security/index.ts';
import { never } from '../support/engine-run.ts';
import { makeGoldenModel } from '../support/golden-model.ts';
import { createTrustHome, type TrustHome } from '../support/trust-home.ts';

let home: TrustHome;
let trust: Trust;
beforeEach(() => {
  home = createTrustHome();
  trust = home.open();
});
afterEach(() => home[Symbol.dispose]());
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: { code?: string; details?: { reason?: string } }) => error.details?.reason ?? error.code ?? error,
  );

describe('a copy in another form that an engine keeps of a model', () => {
  let facts: ModelFacts;
  let engine: Engine;
  const converted = () => join(home.home, 'converted');
  const copies = () => readdirSync(converted()).filter((name) => !name.startsWith('.'));
  beforeEach(async () => {
    const golden = makeGoldenModel(join(home.path, 'golden'));
    const directory = join(home.path, 'tiny');
    mkdirSync(directory);
    await exportGguf(golden.facts.directory, join(directory, 'tiny.gguf'));
    facts = { ...golden.facts, directory, framework: 'GGUF', weightFiles: ['tiny.gguf'], weightBytes: statSync(join(directory, 'tiny.gguf')).size };
    engine = createEmberEngine({ convertedDirectory: converted(), viewDirectory: join(home.home, 'run/engines') });
  });

  /** What a load does around its engine's process; `during` comes between the conversion and what is taken of it. Tells whether it converted. */
  async function load(during: () => void = () => {}): Promise<boolean> {
    const admitted = createAdmittedModels(trust, never);
    let fresh = false;
    await admitted.prepare({ id: 'tiny', hash: null, facts }, async (of) => {
      const ready = await engine.prepare(of, () => {}, never, {});
      during();
      fresh ||= ready.converted === true;
      return ready;
    });
    await admitted.recheck();
    return fresh;
  }

  it('is made once, and used again as long as it is what was made; one that is not is told and made anew', async () => {
    expect(await load()).toBe(true);
    expect(await load()).toBe(false);
    const [copy] = copies();
    const weights = join(converted(), copy!, readdirSync(join(converted(), copy!)).find((name) => name.endsWith('.safetensors'))!);
    const bytes = readFileSync(weights);
    const { atime, mtime } = statSync(weights);
    const harmed = Buffer.from(bytes);
    harmed[harmed.length - 1]! ^= 1;
    writeFileSync(weights, harmed);
    utimesSync(weights, atime, mtime);
    home.events.take();
    expect(await load()).toBe(true);
    expect(home.events.take()).toMatchObject([{ event: 'model.verify.failed', outcome: 'failed', reason: 'file_changed', details: { source: 'converted' } }]);
    expect(readFileSync(weights)).toEqual(bytes);
    expect(await load()).toBe(false);
    // Touched, and the same: no reason to make it again.
    utimesSync(weights, new Date(), new Date());
    expect(await load()).toBe(false);
  });

  it('that nobody vouched for, such as one of a load that was killed in between, is not used', async () => {
    await engine.prepare(facts, () => {}, never, {});
    const [copy] = copies();
    const before = statSync(join(converted(), copy!));
    utimesSync(join(converted(), copy!), new Date(0), new Date(0));
    expect(await load()).toBe(true);
    expect(statSync(join(converted(), copies()[0]!)).ino).not.toBe(before.ino);
  });

  it('is not kept when a file of the model was another one while it was made', async () => {
    const file = join(facts.directory, 'tiny.gguf');
    // As it stood when the key was made, and put back before anybody looks again.
    const swap = () => {
      renameSync(file, `${file}.kept`);
      cpSync(`${file}.kept`, file);
      rmSync(file);
      renameSync(`${file}.kept`, file);
    };
    expect(await codeOf(load(swap))).toBe('file_changed');
    expect(copies()).toEqual([]);
    expect(home.events.take().map(({ event, reason }) => [event, reason])).toContainEqual(['model.verify.failed', 'file_changed']);
    expect(await load()).toBe(true);
  });
});

describe('an adapter', () => {
  const adapters = () => join(home.home, 'adapters');
  const config = { fine_tune_type: 'lora', num_layers: 2, lora_parameters: { rank: 4, scale: 2, dropout: 0 } };
  const add = (name: string, more: object = {}) =>
    home.addDirectory(join(adapters(), name), { 'adapter_config.json': JSON.stringify({ ...config, ...more }), 'adapters.safetensors': 'numbers' });
  const loaded: string[] = [];
  const held: AdapterSet = {
    async load(name, directory) {
      loaded.push(`load ${name}`);
      if (directory === 'nowhere') throw Object.assign(new Error('none'), { code: 'adapter_not_found' });
      if (name === 'swapped') writeFileSync(join(adapters(), name, 'adapters.safetensors'), 'NUMBERS');
      return { name, kind: 'lora', rank: 4, modules: 1, fileBytes: 1, memoryBytes: 1, loadMs: 1 };
    },
    unload: async (name) => void loaded.push(`unload ${name}`),
    list: async () => [],
  };
  beforeEach(() => void loaded.splice(0));

  it('passes the same door as a model: what points at code is refused, what changes while it is read is taken out again', async () => {
    const helpers = { run: () => Promise.reject(new Error('no template here')) };
    const intake = createIntake({ helpers: helpers as never, events: home.events, recordsDirectory: join(home.home, 'state/intake'), clock: home.clock });
    trust = home.open({ intake: (request) => intake.review(request) });
    const judged = withAdmission(held, trust, adapters());
    add('good');
    expect(await codeOf(judged.load('good', 'good'))).toBe('done');
    // Its owner trains it again.
    writeFileSync(join(adapters(), 'good/adapters.safetensors'), 'other numbers');
    expect(await codeOf(judged.load('good', 'good'))).toBe('done');
    add('coded', { model_file: 'evil.py' });
    loaded.splice(0);
    home.events.take();
    expect(await codeOf(judged.load('coded', 'coded'))).toBe('config_code_pointer');
    expect(home.events.take()).toMatchObject([{ event: 'model.refused', reason: 'config_code_pointer', model: { id: 'coded' } }]);
    expect(loaded).toEqual([]);
    add('swapped');
    expect(await codeOf(judged.load('swapped', 'swapped'))).toBe('file_changed');
    expect(loaded).toEqual(['load swapped', 'unload swapped']);
    expect(await codeOf(judged.load('nowhere', 'nowhere'))).toBe('adapter_not_found');
  });

  it('is refused where a rule says so', async () => {
    add('banned');
    await trust.change({ event: 'config.change' }, (policy) => ({ ...policy, sources: [{ type: 'workspace', name: 'banned', require: 'deny' }] }));
    expect(await codeOf(withAdmission(held, trust, adapters()).load('banned', 'banned'))).toBe('source_denied');
    expect(loaded).toEqual([]);
  });
});
