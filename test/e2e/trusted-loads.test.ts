import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { cpSync, linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HearthError } from '../../src/core/index.ts';
import type { Engine } from '../../src/engines/index.ts';
import { createSigningKeys, type ModelSigner, type SigningKeys, signDirectory, type Trust } from '../../src/security/index.ts';
import { createKeySigner } from '../../src/security/signing/signer.ts';
import { createFakeEngine } from '../support/fake-engine.ts';
import { fakeModels, type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { COMMIT, createTrustHome, MODEL_FILES, OTHER_COMMIT, type TrustHome } from '../support/trust-home.ts';

const NAME = 'org/signed';
const never = new AbortController().signal;
let home: TrustHome;
let trust: Trust;
let keys: SigningKeys;
let http: HttpFixture;
/** Where each name leads; a real store would find it in the cache. */
const places = new Map<string, string>();

const models = {
  list: async () => [],
  async resolve(name: string) {
    const directory = places.get(name);
    if (directory === undefined) throw new HearthError('model_not_found', `There is no ${name}.`);
    const model = await fakeModels([name]).resolve(name, never);
    return { ...model, facts: { ...model.facts, directory } };
  },
  resolvePath: () => Promise.reject(new HearthError('model_not_found', 'no paths here')),
};

beforeEach(async () => {
  home = createTrustHome();
  trust = home.open();
  keys = createSigningKeys({ home: home.home, trust, clock: home.clock });
  places.clear();
  http = await startHttp({}, { gateway: { trust }, models });
});
afterEach(async () => {
  await http[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

const ask = async (model: string) => {
  const response = await fetch(`${http.baseUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }], max_tokens: 4 }),
  });
  return { status: response.status, text: await response.text() };
};
const signerOf = (id: string): ModelSigner => createKeySigner(createPrivateKey(readFileSync(keys.privateKeyPath(id), 'utf8')));
const requireSignatures = () =>
  trust.change({ event: 'config.change' }, (policy) => ({ ...policy, sources: [{ type: 'hub', name: 'org/*', require: 'signature' }] }));
const newKey = (models: readonly string[] = ['org/*']) => keys.create({ curve: 'P-256', role: 'publisher', models });
/** A model in the cache, signed where it lies. */
async function addSigned(name: string, signer: ModelSigner, files: Readonly<Record<string, string>> = MODEL_FILES, commit = COMMIT): Promise<string> {
  const directory = home.addToCache(name, files, commit);
  const blobs = join(directory, '../../blobs');
  await signDirectory({ directory, signer, blobs: [blobs] });
  places.set(name, directory);
  return directory;
}

/** Refused over HTTP with the code, without a path, with exactly one event. */
async function expectRefusal(name: string, code: string, event: 'model.verify.failed' | 'model.refused' = 'model.verify.failed') {
  home.events.take();
  const { status, text } = await ask(name);
  const { error } = JSON.parse(text) as { error: { code: string; message: string; details: Record<string, unknown> } };
  expect([status, error.code, error.details['reason']]).toEqual([403, 'model_refused', code]);
  expect(text).not.toContain(home.path);
  expect(text).not.toContain('    at ');
  expect(error.message).toContain('hearth ');
  const events = home.events.take();
  expect(events.map((one) => [one.event, one.outcome, one.reason, one.model?.id])).toEqual([[event, 'denied', code, name]]);
}

describe('loads over HTTP in the mode enforce', () => {
  it('[security G9] an unsigned, unknown-key, revoked-key, renamed and rolled-back model are each refused, with exactly one event each', async () => {
    await requireSignatures();
    const key = await newKey(['org/signed', 'org/versions']);
    // Signed by a trusted key, under its own name: it loads.
    const signed = await addSigned(NAME, signerOf(key.id));
    expect(await ask(NAME)).toMatchObject({ status: 200 });
    expect(home.events.take().map(({ event }) => event)).toContain('model.verify.ok');

    places.set('org/unsigned', home.addToCache('org/unsigned', MODEL_FILES));
    await expectRefusal('org/unsigned', 'sig_missing');

    await addSigned('org/stranger', createKeySigner(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey));
    await expectRefusal('org/stranger', 'sig_key_unknown');

    const renamed = home.addToCache('org/renamed', MODEL_FILES);
    cpSync(join(signed, 'model.sig'), join(renamed, 'model.sig'));
    places.set('org/renamed', renamed);
    await expectRefusal('org/renamed', 'sig_subject_mismatch');

    const versions = await addSigned('org/versions', signerOf(key.id), MODEL_FILES);
    expect(await ask('org/versions')).toMatchObject({ status: 200 });
    await http.gateway.unload(await modelOf('org/versions'), true);
    const newer = await addSigned('org/versions', signerOf(key.id), { ...MODEL_FILES, 'model.safetensors': 'newer' }, OTHER_COMMIT);
    await trust.notePull({ directory: newer, files: [] });
    expect(await ask('org/versions')).toMatchObject({ status: 200 });
    await http.gateway.unload(await modelOf('org/versions'), true);
    places.set('org/versions', versions);
    await expectRefusal('org/versions', 'sig_rollback', 'model.refused');

    await addSigned('org/revoked', signerOf((await newKey()).id));
    const { id } = keys.list().find(({ key: one }) => one.models.includes('org/*'))!;
    expect(await ask('org/revoked')).toMatchObject({ status: 200 });
    await http.gateway.unload(await modelOf('org/revoked'), true);
    await keys.revoke(id, 'lost');
    await expectRefusal('org/revoked', 'sig_key_revoked');
  });

  const modelOf = async (name: string) => {
    const model = await fakeModels([name]).resolve(name, never);
    return { ...model, facts: { ...model.facts, directory: places.get(name)! } };
  };

  it.each([
    ['model-zz.safetensors', (at: string) => writeFileSync(join(at, 'model-zz.safetensors'), 'more'), 'file_extra'],
    ['x.py', (at: string) => writeFileSync(join(at, 'x.py'), 'import os'), 'file_extra'],
    [
      '.git/x.py',
      (at: string) => {
        mkdirSync(join(at, '.git'));
        writeFileSync(join(at, '.git/x.py'), 'import os');
      },
      'file_extra_ignored',
    ],
    ['a link', (at: string) => symlinkSync('/etc/hosts', join(at, 'more.json')), 'file_symlink'],
    ['a FIFO', (at: string) => execFileSync('mkfifo', [join(at, 'more.json')]), 'file_special'],
    ['a hard link', (at: string) => linkSync(join(at, 'config.json'), join(at, '..', 'second-name')), 'file_hardlink'],
  ] as const)('[security G11] a signed model with %s beside its files is refused', async (_what, harm, code) => {
    await requireSignatures();
    const signer = signerOf((await newKey(['*'])).id);
    const directory = await addSigned(NAME, signer);
    if (code === 'file_hardlink') {
      // A file of its own, so that the second name lies outside.
      rmSync(join(directory, 'config.json'));
      writeFileSync(join(directory, 'config.json'), MODEL_FILES['config.json']);
    }
    harm(directory);
    await expectRefusal(NAME, code);
  });

  it('[security G14] in a rotation both keys are valid for the overlap, and the old one is refused after its retire date', async () => {
    await requireSignatures();
    const first = await newKey();
    const old = await addSigned('org/old', signerOf(first.id));
    const { fresh } = await keys.rotate(first.id, { overlapMs: 30 * 86_400_000 });
    await addSigned('org/new', signerOf(fresh.id));
    const states = async () => {
      const answers: unknown[] = [];
      for (const name of ['org/old', 'org/new']) {
        const verdict = await trust.admit({ id: name, directory: places.get(name)! }).then(
          () => 'loads',
          (error: HearthError) => error.details['reason'],
        );
        answers.push(verdict);
      }
      return answers;
    };
    expect(await states()).toEqual(['loads', 'loads']);
    home.clock.ms += 29 * 86_400_000;
    expect(await states()).toEqual(['loads', 'loads']);
    expect(keys.list().map(({ state }) => state)).toEqual(['active', 'active']);
    home.clock.ms += 2 * 86_400_000;
    expect(await states()).toEqual(['sig_key_inactive', 'loads']);
    expect(keys.list().map(({ state }) => state)).toEqual(['retired', 'active']);
    expect(() => keys.privateKeyPath(first.id)).toThrow('retired');
    // Signed anew with its successor.
    await signDirectory({ directory: old, signer: signerOf(fresh.id), blobs: [join(old, '../../blobs')] });
    await trust.accept({ id: 'org/old', directory: old });
    expect(await states()).toEqual(['loads', 'loads']);
  });

  it('models that give vectors or ranks pass the same door as those that give text', async () => {
    await requireSignatures();
    places.set('org/vectors', home.addToCache('org/vectors', MODEL_FILES));
    const fake = createFakeEngine({});
    const able: Engine = {
      ...fake,
      canRun: (facts) => ({ ...fake.canRun(facts), embeddings: fake.canRun(facts).text, rerank: fake.canRun(facts).text }),
      capabilities: (facts, options) => ({ ...fake.capabilities(facts, options), embeddings: true, rerank: true }),
    };
    const resolve = async (name: string) => ({ ...(await models.resolve(name)), capabilities: ['embeddings', 'rerank'] as const });
    await using server = await startHttp({}, { gateway: { trust }, models: { ...models, resolve }, engines: [able] });
    for (const [path, body] of [
      ['embeddings', { input: 'hi' }],
      ['rerank', { query: 'hi', documents: ['a', 'b'] }],
    ] as const) {
      home.events.take();
      const response = await fetch(`${server.baseUrl}/v1/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'org/vectors', ...body }),
      });
      const { error } = (await response.json()) as { error: { code: string; details: Record<string, unknown> } };
      expect([response.status, error.code, error.details['reason']]).toEqual([403, 'model_refused', 'sig_missing']);
      expect(home.events.take().map(({ event }) => event)).toEqual(['model.verify.failed']);
    }
  });

  it('a mode that only warns loads it, and tells; a content that was revoked is refused whoever signed it', async () => {
    const directory = home.addToCache(NAME, MODEL_FILES);
    places.set(NAME, directory);
    await requireSignatures();
    await trust.change({ event: 'config.change' }, (policy) => ({ ...policy, mode: 'warn' }));
    home.events.take();
    expect(await ask(NAME)).toMatchObject({ status: 200 });
    expect(home.events.take()).toMatchObject([{ event: 'model.verify.failed', outcome: 'failed', reason: 'sig_missing' }]);
    await http.gateway.unload(await modelOf(NAME), true);
    await trust.change({ event: 'config.change' }, (policy) => ({ ...policy, mode: 'enforce', sources: [] }));
    expect(await ask(NAME)).toMatchObject({ status: 200 });
    await http.gateway.unload(await modelOf(NAME), true);
    const { rootDigest } = (await trust.explain({ id: NAME, directory })).verdict;
    await trust.change({ event: 'config.change' }, (policy) => ({ ...policy, revoked: [{ rootDigest: rootDigest!, at: 0, reason: 'bad' }] }));
    await expectRefusal(NAME, 'sig_root_revoked');
  });
});
