import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COMMIT, createTrustHome, MODEL_FILES, OTHER_COMMIT, type TrustHome } from '../../../test/support/trust-home.ts';
import type { AdmitRequest } from './types.ts';

const NAME = 'org/model';
let home: TrustHome;
beforeEach(() => {
  home = createTrustHome();
});
afterEach(() => home[Symbol.dispose]());

const request = (directory: string, more: Partial<AdmitRequest> = {}): AdmitRequest => ({ id: NAME, directory, ...more });
const reasonOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'admitted',
    (error: { code?: string; details?: { reason?: string } }) => error.details?.reason ?? error.code ?? error,
  );
const eventNames = () => home.events.take().map(({ event, reason }) => [event, reason]);

describe('a model of the cache', () => {
  it('is taken on its first use, hashed once, and loaded again without hashing', async () => {
    const directory = home.addToCache(NAME, MODEL_FILES);
    const first = await home.open().admit(request(directory));
    expect(first.verdict).toMatchObject({ decision: 'accepted', firstUse: true, cached: false, source: 'hub', require: 'pinned-hash', revision: COMMIT });
    expect(eventNames()).toEqual([['model.verify.ok', undefined]]);
    const again = await home.open().admit(request(directory));
    expect(again.verdict).toMatchObject({ decision: 'accepted', firstUse: false, cached: true, rootDigest: first.verdict.rootDigest });
    expect(eventNames()).toEqual([]);
  });

  it('is given to engines as a directory of links to what was verified, and nothing else', async () => {
    const directory = home.addToCache(NAME, { ...MODEL_FILES, 'modeling.py': 'import os', '1_Pooling/config.json': '{}' });
    const { viewDirectory, files } = await home.open().admit(request(directory));
    expect(readdirSync(viewDirectory).sort()).toEqual(['1_Pooling', 'config.json', 'model.safetensors', 'tokenizer.json']);
    for (const { path, source } of files) expect(readlinkSync(join(viewDirectory, path))).toBe(source);
    expect(viewDirectory).not.toContain('org');
    // What is not in the model any more goes out of its view.
    rmSync(join(directory, '1_Pooling'), { recursive: true });
    const trust = home.open();
    await trust.accept(request(directory));
    expect(readdirSync((await trust.admit(request(directory))).viewDirectory)).not.toContain('1_Pooling');
  });

  it.each([
    ['file_changed', (at: string) => appendFileSync(join(at, 'model.safetensors'), 'x')],
    ['file_missing', (at: string) => rmSync(join(at, 'tokenizer.json'))],
    ['file_extra', (at: string) => writeFileSync(join(at, 'model-zz.safetensors'), 'more weights')],
    ['file_symlink', (at: string) => symlinkSync('/etc/hosts', join(at, 'more.json'))],
    ['file_hardlink', (at: string) => linkSync(join(at, '../../blobs', readdirSync(join(at, '../../blobs'))[0]!), join(at, 'more.json'))],
  ] as const)('is refused with %s, once told and with the way out, until it is accepted', async (code, harm) => {
    const directory = home.addToCache(NAME, MODEL_FILES);
    const trust = home.open();
    await trust.admit(request(directory));
    home.events.take();
    harm(directory);
    const error = await trust.admit(request(directory)).catch((caught: unknown) => caught as Error & { details: unknown });
    expect(error).toMatchObject({ code: 'model_refused', details: { reason: code, param: 'model' } });
    expect((error as Error).message).not.toContain(home.path);
    expect((error as Error).message).toContain(`hearth trust explain ${NAME}`);
    const events = home.events.take();
    expect(events.map(({ event, outcome, reason }) => [event, outcome, reason])).toEqual([['model.verify.failed', 'denied', code]]);
    expect(await reasonOf(trust.admit(request(directory)))).toBe(code);
    expect(home.events.take()).toHaveLength(1);
  });

  it('is taken as it is by accept, but not with a link that leads out', async () => {
    const directory = home.addToCache(NAME, MODEL_FILES);
    const trust = home.open();
    const before = (await trust.admit(request(directory))).verdict.rootDigest;
    writeFileSync(join(directory, 'chat_template.jinja'), '{{ x }}');
    expect(await reasonOf(trust.admit(request(directory)))).toBe('file_extra');
    const explained = await trust.explain(request(directory));
    expect(explained).toMatchObject({ name: NAME, rule: null, mode: 'enforce', verdict: { decision: 'refused', reason: 'file_extra' } });
    expect(explained.verdict.problems).toMatchObject([{ file: 'chat_template.jinja' }]);
    home.events.take();
    expect((await trust.accept(request(directory))).verdict.decision).toBe('accepted');
    expect(eventNames()).toEqual([['config.change', undefined]]);
    expect((await trust.admit(request(directory))).verdict.rootDigest).not.toBe(before);
    symlinkSync('/etc/hosts', join(directory, 'more.json'));
    expect((await trust.accept(request(directory))).verdict).toMatchObject({ decision: 'refused', reason: 'file_symlink' });
    expect(await reasonOf(trust.admit(request(directory)))).toBe('file_symlink');
  });

  it('is no other revision than the accepted one, unless it is named; a pull accepts', async () => {
    const first = home.addToCache(NAME, MODEL_FILES);
    const trust = home.open();
    await trust.admit(request(first));
    const second = home.addToCache(NAME, { ...MODEL_FILES, 'model.safetensors': 'newer weights' }, OTHER_COMMIT);
    home.events.take();
    expect(await reasonOf(trust.admit(request(second)))).toBe('sig_rollback');
    expect(eventNames()).toEqual([['model.refused', 'sig_rollback']]);
    await trust.notePull({ directory: second, files: Object.keys(MODEL_FILES).map((path) => ({ path, sha256: null })) });
    expect(await reasonOf(trust.admit(request(second)))).toBe('admitted');
    expect(await reasonOf(trust.admit(request(first)))).toBe('sig_rollback');
    expect(await reasonOf(trust.admit(request(first, { revisionNamed: true })))).toBe('admitted');
  });

  it('that was pulled is not hashed a second time: its known hashes are used as long as its files are the same', async () => {
    const directory = home.addToCache(NAME, MODEL_FILES);
    const made = '0'.repeat(64);
    const files = Object.keys(MODEL_FILES).map((path) => ({ path, sha256: path === 'config.json' ? made : null }));
    const trust = home.open();
    await trust.notePull({ directory, files });
    const admitted = await trust.admit(request(directory));
    expect(admitted.verdict.decision).toBe('accepted');
    // The digest that the pull told is the one that counts, right or wrong: nobody read the file again.
    writeFileSync(join(directory, 'config.json'), MODEL_FILES['config.json']);
    const { problems } = (await trust.explain(request(directory))).verdict;
    expect(problems).toMatchObject([{ code: 'file_changed', file: 'config.json', expected: made }]);
  });

  it('is hashed again after a week, and found out although no time of the file tells', async () => {
    const directory = home.addToCache(NAME, MODEL_FILES);
    const trust = home.open();
    await trust.admit(request(directory));
    home.clock.ms += 6 * 86_400_000;
    expect((await trust.admit(request(directory))).verdict.cached).toBe(true);
    home.clock.ms += 2 * 86_400_000;
    expect((await trust.admit(request(directory))).verdict.cached).toBe(false);
    expect((await trust.admit(request(directory))).verdict.cached).toBe(true);
  });

  it('whose blob is not what its name says is refused at its first use', async () => {
    const directory = home.addToCache(NAME, MODEL_FILES);
    writeFileSync(join(directory, 'model.safetensors'), 'weights of somebody');
    expect(await reasonOf(home.open().admit(request(directory)))).toBe('file_changed');
  });

  it('of several GGUF files is judged by the one that is wanted', async () => {
    const directory = home.addToCache(NAME, { 'a-Q4.gguf': 'four bits', 'a-Q8.gguf': 'eight bits' });
    const trust = home.open();
    const admitted = await trust.admit(request(directory, { only: ['a-Q4.gguf'] }));
    expect(readdirSync(admitted.viewDirectory)).toEqual(['a-Q4.gguf']);
    expect((await trust.admit(request(directory, { only: ['a-Q8.gguf'] }))).verdict.firstUse).toBe(true);
    rmSync(join(directory, 'a-Q4.gguf'));
    expect(await reasonOf(trust.admit(request(directory, { only: ['a-Q8.gguf'] })))).toBe('admitted');
    expect(await reasonOf(trust.admit(request(directory, { only: ['a-Q4.gguf'] })))).toBe('file_missing');
  });
});

describe('a directory of the user', () => {
  it('is taken on first use, and its change is told', async () => {
    const directory = home.addDirectory(join(home.path, 'my-model'), MODEL_FILES);
    const trust = home.open();
    expect((await trust.admit(request(directory))).verdict).toMatchObject({ source: 'path', require: 'tofu', firstUse: true });
    expect((await trust.admit(request(directory))).verdict.cached).toBe(true);
    writeFileSync(join(directory, 'config.json'), '{"model_type":"qwen2"}');
    expect(await reasonOf(trust.admit(request(directory)))).toBe('file_changed');
  });

  it('that others may write is hashed at every load', async () => {
    const directory = home.addDirectory(join(home.path, 'shared'), MODEL_FILES);
    const trust = home.open();
    await trust.admit(request(directory));
    chmodSync(join(directory, 'model.safetensors'), 0o666);
    for (let turn = 0; turn < 2; turn += 1) expect((await trust.admit(request(directory))).verdict).toMatchObject({ decision: 'accepted', cached: false });
  });

  it('in the workspace home belongs to its editor: changes are no findings', async () => {
    const directory = home.addDirectory(join(home.workspaces, 'mine'), MODEL_FILES);
    const trust = home.open();
    expect((await trust.admit(request(directory))).verdict).toMatchObject({ source: 'workspace', require: 'gates', rootDigest: null });
    writeFileSync(join(directory, 'config.json'), '{"model_type":"qwen2"}');
    expect(await reasonOf(trust.admit(request(directory)))).toBe('admitted');
    linkSync(join(directory, 'config.json'), join(home.path, 'second-name'));
    expect(await reasonOf(trust.admit(request(directory)))).toBe('file_hardlink');
  });

  it('in the workspace home is refused where its content was revoked, or another one is pinned, and is its editor’s again after', async () => {
    const cached = home.addToCache(NAME, MODEL_FILES);
    const directory = home.addDirectory(join(home.workspaces, 'mine'), MODEL_FILES);
    const trust = home.open();
    const { rootDigest } = (await trust.admit(request(cached))).verdict;
    expect(await reasonOf(trust.admit(request(directory)))).toBe('admitted');
    const config = { event: 'config.change' } as const;
    await trust.change(config, (policy) => ({ ...policy, revoked: [{ rootDigest: rootDigest!, at: 0, reason: 'harmful' }] }));
    for (const model of [cached, directory]) expect(await reasonOf(trust.admit(request(model)))).toBe('sig_root_revoked');
    writeFileSync(join(directory, 'config.json'), '{"model_type":"qwen2"}');
    expect((await trust.admit(request(directory))).verdict).toMatchObject({ decision: 'accepted', firstUse: false });
    writeFileSync(join(directory, 'config.json'), '{"model_type":"llama"} ');
    expect(await reasonOf(trust.admit(request(directory)))).toBe('admitted');
    await trust.change(config, (policy) => ({ ...policy, revoked: [], models: { mine: { rootDigest: rootDigest! } } }));
    expect(await reasonOf(trust.admit(request(directory)))).toBe('pin_mismatch');
    writeFileSync(join(directory, 'config.json'), MODEL_FILES['config.json']);
    expect(await reasonOf(trust.admit(request(directory)))).toBe('admitted');
  });

  it('with a pipe in the place of its signature is judged as one without', async () => {
    const directory = home.addDirectory(join(home.workspaces, 'mine'), MODEL_FILES);
    const trust = home.open();
    await trust.change({ event: 'config.change' }, (policy) => ({ ...policy, revoked: [{ hint: 'a'.repeat(64), at: 0, reason: 'lost' }] }));
    execFileSync('mkfifo', [join(directory, 'model.sig')]);
    expect(await reasonOf(trust.admit(request(directory)))).toBe('admitted');
  });
});

describe('a swap between the verdict and the end of the load', () => {
  const swaps: readonly ((file: string) => void)[] = [
    (file) => writeFileSync(file, 'WEIGHTS OF A MODEL'),
    (file) => {
      writeFileSync(`${file}.new`, 'WEIGHTS OF A MODEL');
      renameSync(`${file}.new`, file);
    },
    (file) => {
      // Read by the engine, then put back as it was.
      renameSync(file, `${file}.old`);
      writeFileSync(file, 'WEIGHTS OF A MODEL');
      renameSync(`${file}.old`, file);
    },
    (file) => {
      const times = new Date(1_700_000_000_000);
      writeFileSync(file, 'WEIGHTS OF A MODEL');
      utimesSync(file, times, times);
    },
    (file) => rmSync(file),
    (file) => {
      rmSync(file);
      mkdirSync(file);
    },
    (file) => {
      rmSync(file);
      symlinkSync('/etc/hosts', file);
    },
  ];

  it('[security G10] is detected in each of 1,000 race loops, at whatever moment it comes', { timeout: 600_000 }, async () => {
    const trust = home.open();
    let detected = 0;
    const race = async (loop: number): Promise<void> => {
      const directory = join(home.path, `race-${loop}`);
      const file = join(directory, 'model.safetensors');
      const before = readFileSync(file, 'utf8');
      const admission = await trust.admit(request(directory));
      // At once after the verdict, or a moment later while an engine would read.
      if (loop % 3 === 1) await new Promise((resolve) => setImmediate(resolve));
      expect(readFileSync(join(admission.viewDirectory, 'model.safetensors'), 'utf8')).toBe(before);
      swaps[loop % swaps.length]!(file);
      if ((await reasonOf(admission.recheck())) === 'file_changed') detected += 1;
    };
    for (let at = 0; at < 1000; at += 50) {
      const loops = Array.from({ length: 50 }, (_, i) => at + i);
      for (const loop of loops) home.addDirectory(join(home.path, `race-${loop}`), { 'config.json': '{}', 'model.safetensors': 'weights of a model' });
      await Promise.all(loops.map(race));
    }
    expect(detected).toBe(1000);
  });

  it('of a link in the view, or in one that an engine made over it, is detected too', async () => {
    const directory = home.addToCache(NAME, MODEL_FILES);
    const trust = home.open();
    const { viewDirectory, ...admission } = await trust.admit(request(directory));
    const views = join(home.path, 'engine-view');
    mkdirSync(views);
    symlinkSync(readlinkSync(join(viewDirectory, 'config.json')), join(views, 'config.json'));
    await admission.watch(views);
    await admission.recheck();
    renameSync(join(views, 'config.json'), join(views, 'kept'));
    symlinkSync('/etc/hosts', join(views, 'config.json'));
    rmSync(join(views, 'config.json'));
    renameSync(join(views, 'kept'), join(views, 'config.json'));
    home.events.take();
    expect(await reasonOf(admission.recheck())).toBe('file_changed');
    expect(eventNames()).toEqual([['model.verify.failed', 'file_changed']]);
    symlinkSync('/etc/hosts', join(views, 'more.json'));
    expect(await reasonOf((await trust.admit(request(directory))).watch(views))).toBe('file_changed');
  });
});
