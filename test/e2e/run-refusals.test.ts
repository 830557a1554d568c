import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/engines/index.ts';
import { type FakeDaemon, startFakeDaemon } from '../support/fake-daemon.ts';
import { createFakeEngine } from '../support/fake-engine.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { cacheModel, mlxModel } from '../support/temp-store.ts';

const JPEG = Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 1, 0xff, 0xda, 0, 2]);
const WAV = Buffer.concat([Buffer.from('RIFF'), Buffer.alloc(4), Buffer.from('WAVEfmt ')]);
const no = (reason: string) => ({ ok: false, engine: null, reason });

/** Text for every type but those that answer to images; images for none but them; no audio. */
function mediaEngine(): Engine {
  const fake = createFakeEngine({ reply: 'a fine answer' });
  return {
    ...fake,
    canRun: (facts) => {
      const verdicts = fake.canRun(facts);
      const imagesOnly = facts.architecture === 'mllama';
      if (imagesOnly)
        return { ...verdicts, text: no("model_type 'mllama' not supported"), chat: no("model_type 'mllama' not supported"), vision: verdicts.text };
      return { ...verdicts, vision: no('the fake engine has no eyes'), audio: no('the fake engine has no ears') };
    },
  };
}

describe('what run refuses before it loads', () => {
  let home: TestHome;
  let daemon: FakeDaemon;
  const file = (name: string) => join(home.directory, name);
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runInProcess(['run', ...args, '--json'], { directory: home.directory });
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string } | null };
    return { code, error: error?.code ?? null, message: error?.message ?? '', stderr };
  };
  beforeAll(async () => {
    home = await createTestHome();
    const hub = join(home.hfHome, 'hub');
    const config = (more: object) => ({ 'config.json': JSON.stringify({ model_type: 'llama', quantization: { group_size: 64, bits: 4 }, ...more }) });
    const seeing = { 'preprocessor_config.json': '{}' };
    await cacheModel(hub, 'org/plain', mlxModel());
    await cacheModel(hub, 'org/embedder', mlxModel(config({ model_type: 'bert' })));
    await cacheModel(hub, 'org/whisper-large-v3', mlxModel(config({ model_type: 'whisper' })));
    await cacheModel(hub, 'org/whisper-large-v3-turbo', mlxModel(config({ model_type: 'whisper' })));
    await cacheModel(hub, 'org/seeing', mlxModel({ ...config({ model_type: 'qwen2_vl', vision_config: { a: 1 } }), ...seeing }));
    await cacheModel(hub, 'org/seeing-only', mlxModel({ ...config({ model_type: 'mllama', vision_config: { a: 1 } }), ...seeing }));
    const huge = await cacheModel(
      hub,
      'org/huge-seeing',
      mlxModel({ ...config({ model_type: 'mllama', vision_config: { a: 1 } }), ...seeing, 'model.safetensors': 'x' }),
    );
    await truncate(join(huge, 'model.safetensors'), Math.ceil(totalmem() * 0.75));
    await mkdir(file('big'), { recursive: true });
    for (const [name, content] of Object.entries(mlxModel({ ...config({ model_type: 'mllama', vision_config: { a: 1 } }), ...seeing })))
      await writeFile(file(`big/${name}`), content);
    await truncate(file('big/model.safetensors'), Math.ceil(totalmem() * 0.75));
    const text = await cacheModel(hub, 'org/huge-text', mlxModel({ 'model.safetensors': 'y' }));
    await truncate(join(text, 'model.safetensors'), Math.ceil(totalmem() * 0.75));
    await writeFile(file('a.jpg'), JPEG);
    await writeFile(file('a.wav'), WAV);
    await writeFile(file('a.txt'), 'no picture and no sound');
    await writeFile(file('empty.png'), '');
    for (const [name, megabytes] of Object.entries({ 'big.jpg': 11, 'big.wav': 51 })) {
      await writeFile(file(name), name.endsWith('jpg') ? JPEG : WAV);
      await truncate(file(name), megabytes * 1_000_000);
    }
    daemon = await startFakeDaemon(home, mediaEngine());
  });
  afterAll(async () => {
    expect(daemon.starts()).toBeLessThanOrEqual(2);
    await daemon[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  it('[store K94] text for a speech model or an embedder, images and audio for models without them, each with its hint', async () => {
    const before = daemon.starts();
    for (const [args, hint] of [
      [['whisper-large-v3-turbo', 'hello'], '--audio FILE'],
      [['embedder', 'hello'], 'hearth embed'],
      [['plain', 'hello', '--image', 'a.jpg'], 'capability vision'],
      [['embedder', '--image', 'a.jpg'], 'takes no images'],
      [['whisper-large-v3-turbo', '--image', 'a.jpg'], 'takes no images'],
      [['plain', '--audio', 'a.wav'], 'capability audio'],
      [['embedder', '--audio', 'a.wav'], 'takes no audio'],
    ] as const)
      expect(await run(...args)).toMatchObject({ code: 1, error: 'capability_mismatch', message: expect.stringContaining(hint) });
    expect(daemon.starts()).toBe(before);
  });

  it('[store K95] a text alone for a model that answers to images only', async () => {
    const before = daemon.starts();
    expect(await run('seeing-only', 'hello')).toMatchObject({ code: 1, error: 'capability_mismatch', message: expect.stringContaining('--image FILE') });
    expect(daemon.starts()).toBe(before);
  });

  it('[store K93] translation: another target, then no recording, then a model that cannot; nothing is loaded', async () => {
    const before = daemon.starts();
    expect(await run('whisper-large-v3-turbo', '--translate', 'fr')).toMatchObject({
      code: 1,
      error: 'invalid_argument',
      message: expect.stringContaining('English'),
    });
    expect(await run('whisper-large-v3-turbo', '--translate', 'en')).toMatchObject({
      code: 1,
      error: 'invalid_argument',
      message: expect.stringContaining('--audio'),
    });
    expect(await run('whisper-large-v3-turbo', '--audio', 'a.wav', '--translate', 'fr')).toMatchObject({ error: 'invalid_argument' });
    expect(await run('whisper-large-v3-turbo', '--audio', 'a.wav', '--translate')).toMatchObject({ code: 1, error: 'translation_unsupported' });
    // The model can, and no engine here can.
    expect(await run('org/whisper-large-v3', '--audio', 'a.wav', '--translate', 'en')).toMatchObject({
      code: 1,
      error: 'not_implemented',
      message: expect.stringContaining('mlx engine'),
    });
    expect(daemon.starts()).toBe(before);
  });

  it('one recording of at most 50 MB, and one that is a recording', async () => {
    expect(await run('whisper-large-v3-turbo', '--audio', 'a.wav', 'a.wav')).toMatchObject({
      error: 'invalid_value',
      message: expect.stringContaining('One audio file'),
    });
    expect(await run('whisper-large-v3-turbo', '--audio', 'big.wav')).toMatchObject({ error: 'invalid_value', message: expect.stringContaining('50.0 MB') });
    expect(await run('whisper-large-v3-turbo', '--audio', 'a.txt')).toMatchObject({ error: 'invalid_value' });
    expect(await run('whisper-large-v3-turbo', '--audio', 'a.wav')).toMatchObject({ error: 'not_implemented', message: expect.stringContaining('no ears') });
    expect(await run('whisper-large-v3-turbo', '--language', 'de')).toMatchObject({ error: 'invalid_argument' });
  });

  it('images that are missing, empty, too large or none, and batches outside 1 … 5; a missing file is told before a missing capability', async () => {
    for (const [name, reason] of [
      ['nothing.jpg', 'no such file'],
      ['empty.png', 'empty'],
      ['big.jpg', '10.0 MB'],
      ['a.txt', 'no JPEG'],
    ] as const)
      for (const model of ['org/seeing', 'plain'])
        expect(await run(model, '--image', name)).toMatchObject({ code: 1, error: 'invalid_value', message: expect.stringContaining(reason) });
    expect(await run('no-such-model', '--image', 'nothing.jpg')).toMatchObject({ error: 'model_not_found' });
    expect(await run('org/seeing', '--image', 'a.jpg', 'What is it?')).toMatchObject({
      error: 'invalid_value',
      message: expect.stringContaining('in front of --image'),
    });
    for (const chunk of ['0', '6', 'x']) expect((await run('org/seeing', '--image', 'a.jpg', '--chunk', chunk)).code).toBe(2);
    // The door of the engine: declared by the model, and nothing here can run it.
    expect(await run('org/seeing', '--image', 'a.jpg')).toMatchObject({ error: 'not_implemented', message: expect.stringContaining('no eyes') });
  });

  it('[store K96] a vision model of more than 70 % of the memory, also as a directory; a text model is only warned of', async () => {
    const before = daemon.starts();
    for (const model of ['huge-seeing', './big'])
      expect(await run(model, '--image', 'a.jpg')).toMatchObject({ code: 1, error: 'insufficient_memory', message: expect.stringContaining('70 %') });
    expect(daemon.starts()).toBe(before);
    expect((await run('huge-text', 'hello')).stderr).toContain('more than 70 %');
  });

  it('options that contradict each other', async () => {
    for (const args of [
      ['--image', 'a.jpg', '--audio', 'a.wav'],
      ['--image', 'a.jpg', '--chat'],
      ['--chunk', '2', 'x'],
      ['--json-schema', 'a.json', '--no-chat-template', 'x'],
    ])
      expect(await run('org/seeing', ...args)).toMatchObject({ code: 1, error: 'invalid_argument' });
    expect(await run('plain', '--engine', 'other', 'x')).toMatchObject({ code: 1, error: 'invalid_value', message: expect.stringContaining('there is fake') });
    expect(await run('plain', '--json-schema', 'missing.json', 'x')).toMatchObject({ code: 1, error: 'invalid_value' });
    expect(await run('plain', '--engine', 'fake', 'x')).toMatchObject({ code: 0, error: null });
  });
});
