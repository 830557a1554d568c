import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createEmberEngine } from '../../src/engines/index.ts';
import { temporaryDirectory } from '../support/engine-run.ts';
import { makeGoldenModel } from '../support/golden-model.ts';
import { fakeModels, startHttp } from '../support/http-fixture.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const { facts } = makeGoldenModel(join(home.path, 'model'));
const engine = createEmberEngine({ convertedDirectory: join(home.path, 'converted') });
const names = fakeModels(['org/tiny']);
const models = { ...names, resolve: async (name: string, signal: AbortSignal) => ({ ...(await names.resolve(name, signal)), facts }) };

describe('[engines E32] what ember cannot do', () => {
  test('is said by the engine, with the reason', () => {
    const { text, vision, audio } = engine.canRun(facts);
    expect(text?.ok).toBe(true);
    expect([vision, audio]).toEqual([
      { ok: false, engine: null, reason: 'ember cannot do images' },
      { ok: false, engine: null, reason: 'ember cannot do audio' },
    ]);
    expect(engine.capabilities(facts, {})).toMatchObject({ images: false, audio: false, transcription: false, translation: false });
  });

  test('is refused before any child is started: images, audio, and training', async () => {
    await using server = await startHttp({}, { engines: [engine], models });
    const post = (path: string, body: unknown) =>
      fetch(`${server.baseUrl}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    for (const part of [
      { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
      { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } },
    ]) {
      const response = await post('/v1/chat/completions', { model: 'org/tiny', messages: [{ role: 'user', content: [part] }] });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: 'capability_mismatch' } });
    }
    for (const path of ['/v1/audio/transcriptions', '/train/v1/sessions', '/train/v1/jobs']) {
      const response = await post(path, { model: 'org/tiny' });
      expect([path, response.status >= 400 && response.status < 500]).toEqual([path, true]);
    }
    expect(server.starts()).toBe(0);
    // The same model answers text.
    const answer = await server.openai.chat.completions.create({ model: 'org/tiny', messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 });
    expect(answer.usage?.completion_tokens).toBe(2);
    expect(server.starts()).toBe(1);
  });
});
