import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { envelopeSchema, type RunData } from '../../src/contract/index.ts';
import { type FakeDaemon, startFakeDaemon } from '../support/fake-daemon.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { createSeeingEngine } from '../support/seeing-engine.ts';
import { cacheModel, mlxModel } from '../support/temp-store.ts';
import { flac, ogg, wav } from '../support/tiny-pictures.ts';

const config = (more: object) => ({ 'config.json': JSON.stringify({ quantization: { group_size: 64, bits: 4 }, ...more }) });

async function homeWithModels(): Promise<TestHome> {
  const home = await createTestHome();
  const hub = join(home.hfHome, 'hub');
  await cacheModel(hub, 'org/whisper-large-v3', mlxModel(config({ model_type: 'whisper' })));
  await cacheModel(hub, 'org/hearing-chat', mlxModel(config({ model_type: 'llama', audio_config: { a: 1 } })));
  await writeFile(join(home.directory, 'a.wav'), wav(16_000, 1));
  await writeFile(join(home.directory, 'a.flac'), flac(44_100, 2));
  await writeFile(join(home.directory, 'a.ogg'), ogg(60));
  return home;
}

/** No engine of this version has a model of speech: the way to its door is shown with the double of one, which tells what it was given. */
describe('a recording, up to the door of an engine that takes sound', () => {
  let home: TestHome;
  let daemon: FakeDaemon;
  const sound = wav(16_000, 1);
  beforeAll(async () => {
    home = await homeWithModels();
    daemon = await startFakeDaemon(home, createSeeingEngine({ speech: 'translate' }));
  });
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
    await home?.[Symbol.asyncDispose]();
  });
  const run = (args: readonly string[], env: Record<string, string> = {}) => runInProcess(['run', ...args], { directory: home.directory, env });
  const runJson = async (...args: string[]) => {
    const { code, stdout } = await run([...args, '--json']);
    const document = envelopeSchema.parse(JSON.parse(stdout));
    return { code, data: document.data as RunData, error: document.error };
  };

  it('[store K92] is written down: the transcript for people, and its language and segments in JSON', async () => {
    const people = await run(['whisper', '--audio', 'a.wav']);
    expect([people.code, people.stdout]).toEqual([0, `transcribe audio/wav ${sound.length} - 0\n`]);
    const { code, data } = await runJson('whisper', '--audio', 'a.wav');
    expect(code).toBe(0);
    expect(data).toMatchObject({
      prompt: '',
      response: `transcribe audio/wav ${sound.length} - 0`,
      finish_reason: 'stop',
      transcription: {
        language: 'de',
        duration_s: 3_725.5,
        segments: [
          { start: 0, end: 1.25, text: 'transcribe' },
          { start: 1.25, end: 3_725.5, text: 'a --> b\n\n2' },
        ],
      },
    });
    // No tokens were counted, so that none are claimed.
    expect(data.usage).toBeUndefined();
  });

  it('[store K92] with its language, a hint for the spelling, a temperature and a translation', async () => {
    const told = await runJson('whisper', 'Kirchhoff', '--audio', 'a.flac', '--language', 'EN', '--temperature', '0.5');
    expect([told.data.response.replace(/ \d+ /, ' N '), told.data.transcription?.language]).toEqual(['transcribe audio/flac N Kirchhoff 0.5', 'en']);
    const translated = await runJson('whisper', '--audio', 'a.wav', '--translate');
    expect(translated.data.response).toBe(`translate audio/wav ${sound.length} - 0`);
    for (const args of [
      ['whisper', '--audio', 'a.wav', '--language', 'german, please'],
      ['whisper', '--audio', 'a.wav', '--system', 'be brief'],
      ['hearing-chat', '--audio', 'a.wav', '--language', 'de'],
    ])
      expect([args, (await runJson(...args)).code]).toEqual([args, 1]);
  });

  it('[store K92] with a table of the segments behind it, by either name of the setting', async () => {
    const table = [
      `transcribe audio/wav ${sound.length} - 0`,
      '',
      '<details>',
      '<summary>Audio Segments (2 segments)</summary>',
      '',
      '| Start | End | Text |',
      '|-------|-----|------|',
      '| 0.00s | 1.25s | transcribe |',
      '| 1.25s | 3725.50s | a --> b 2 |',
      '',
      '</details>',
      '',
    ].join('\n');
    for (const name of ['HEARTH_AUDIO_SEGMENTS', 'MLXK2_AUDIO_SEGMENTS'])
      expect((await run(['whisper', '--audio', 'a.wav'], { [name]: '1' })).stdout).toBe(table);
  });

  it('[store K92] one file of at most 50 MB', async () => {
    await writeFile(join(home.directory, 'long.wav'), wav(16_000, 1562));
    expect((await runJson('whisper', '--audio', 'long.wav')).data.response).toMatch(/^transcribe audio\/wav 4998\d{4} /);
    await writeFile(join(home.directory, 'longer.wav'), wav(16_000, 1563));
    expect(await runJson('whisper', '--audio', 'longer.wav')).toMatchObject({ code: 1, error: { code: 'invalid_value' } });
    expect(await runJson('whisper', '--audio', 'a.wav', '--audio', 'a.flac')).toMatchObject({ code: 1, error: { code: 'invalid_value' } });
  });

  it('goes through ffmpeg where it is neither WAV, MP3 nor FLAC, and says so when there is none', async () => {
    const { code, stdout } = await run(['whisper', '--audio', 'a.ogg', '--json'], { PATH: home.directory });
    expect([code, (JSON.parse(stdout) as { error: { code: string } }).error.code]).toEqual([1, 'dependency_missing']);
  });

  it('a language model that hears is asked about it, with a question of its own when none is given', async () => {
    const asked = await runJson('hearing-chat', 'Which bird?', '--audio', 'a.wav');
    expect(asked.data.response).toContain(`[audio/wav ${sound.length}]`);
    expect(asked.data.response).toContain('Which bird?');
    expect(asked.data.transcription).toBeUndefined();
    expect((await runJson('hearing-chat', '--audio', 'a.wav')).data.response).toContain('What do you hear in this audio?');
  });
});

it('[store K92] a recording is refused with the reason where no engine takes sound, before anything is loaded', async () => {
  await using home = await homeWithModels();
  for (const model of ['whisper', 'hearing-chat']) {
    const { code, stdout } = await runInProcess(['run', model, '--audio', 'a.wav', '--json'], { directory: home.directory });
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
    expect([model, code, error.code]).toEqual([model, 1, 'not_implemented']);
    expect(error.message).toContain('mlx engine');
  }
});
