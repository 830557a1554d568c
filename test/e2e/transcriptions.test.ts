import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { createSeeingEngine } from '../support/seeing-engine.ts';
import { flac, wav } from '../support/tiny-pictures.ts';

let hearing: HttpFixture;
let english: HttpFixture;
let deaf: HttpFixture;
beforeAll(async () => {
  hearing = await startHttp({}, { engines: [createSeeingEngine({ speech: 'translate' })] });
  english = await startHttp({}, { engines: [createSeeingEngine({ speech: 'transcribe' })] });
  deaf = await startHttp({});
});
afterAll(async () => {
  for (const server of [hearing, english, deaf]) await server?.[Symbol.asyncDispose]();
});

const model = 'org/fake';
const sound = wav(16_000, 1);
const form = (fields: Readonly<Record<string, string | Uint8Array>>): FormData => {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, typeof value === 'string' ? value : new Blob([new Uint8Array(value)]));
  return data;
};
const send = (server: HttpFixture, path: string, body: FormData | string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${server.baseUrl}/v1/audio/${path}`, { method: 'POST', body, headers });
const refusal = async (response: Promise<Response>): Promise<unknown> => {
  const { error } = (await (await response).json()) as { error: { code: string; param: string | null } };
  return [(await response).status, error.code, error.param];
};

describe('transcriptions', () => {
  test('[store K102] json, text, verbose_json, srt and vtt have their shapes, and the official client reads them', async () => {
    const given = { file: sound, model, language: 'de', prompt: 'names', temperature: '0.5', future_field: 'x' };
    const ask = async (format: string, more: Record<string, string> = {}) =>
      await send(hearing, 'transcriptions', form({ ...given, ...more, response_format: format }));
    const text = ` transcribe audio/wav ${sound.length} names 0.5`;
    const segments = [
      { id: 0, start: 0, end: 1.25, text: ' transcribe' },
      { id: 1, start: 1.25, end: 3_725.5, text: ' a --> b\n\n2' },
    ];
    expect(await (await ask('json')).json()).toEqual({ text });
    const plain = await ask('text');
    expect([plain.headers.get('content-type'), await plain.text()]).toEqual(['text/plain; charset=utf-8', `${text}\n`]);
    const verbose = await ask('verbose_json', { 'timestamp_granularities[]': 'segment' });
    expect(await verbose.json()).toEqual({ task: 'transcribe', language: 'de', duration: 3_725.5, text, segments });
    // What is said cannot end a cue or begin another one.
    expect(await (await ask('srt')).text()).toBe('1\n00:00:00,000 --> 00:00:01,250\ntranscribe\n\n2\n00:00:01,250 --> 01:02:05,500\na → b\n2\n\n');
    expect(await (await ask('vtt')).text()).toBe('WEBVTT\n\n00:00:00.000 --> 00:00:01.250\ntranscribe\n\n00:00:01.250 --> 01:02:05.500\na → b\n2\n\n');
    const file = await toFile(flac(44_100, 2), 'speech.flac');
    const read = await hearing.openai.audio.transcriptions.create({ model, file, response_format: 'verbose_json' });
    expect([read.text.startsWith(' transcribe audio/flac'), read.segments?.length]).toEqual([true, 2]);
  });

  test('[store K102] a wrong model is 400, over 50 MB 413, and what is no form or no sound is named', async () => {
    expect(await refusal(send(deaf, 'transcriptions', form({ file: sound, model })))).toEqual([400, 'capability_mismatch', 'model']);
    expect(await refusal(send(hearing, 'transcriptions', form({ file: sound, model: 'nobody' })))).toEqual([404, 'model_not_found', 'model']);
    expect(await refusal(send(hearing, 'transcriptions', form({ file: Buffer.alloc(50_000_001), model })))).toEqual([413, 'request_too_large', null]);
    expect(await refusal(send(hearing, 'transcriptions', form({ file: Buffer.alloc(60_000_000), model })))).toEqual([413, 'request_too_large', null]);
    expect(await refusal(send(hearing, 'transcriptions', JSON.stringify({ model }), { 'content-type': 'application/json' }))).toEqual([
      415,
      'unsupported_media_type',
      null,
    ]);
    const cases: [Record<string, string | Uint8Array>, string][] = [
      [{ model }, 'file'],
      [{ model, file: 'a text' }, 'file'],
      [{ model, file: Buffer.from('nothing to hear') }, 'file'],
      [{ model, file: flac(44_100, 31 * 60) }, 'file'],
      [{ file: sound }, 'model'],
      [{ model, file: sound, temperature: 'warm' }, 'temperature'],
      [{ model, file: sound, temperature: '3' }, 'temperature'],
      [{ model, file: sound, language: '../x' }, 'language'],
      [{ model, file: sound, response_format: 'pdf' }, 'response_format'],
      [{ model, file: sound, stream: 'true' }, 'stream'],
      [{ model, file: sound, 'timestamp_granularities[]': 'word' }, 'timestamp_granularities'],
    ];
    for (const [fields, param] of cases)
      expect([param, await refusal(send(hearing, 'transcriptions', form(fields)))]).toEqual([param, [400, expect.any(String), param]]);
    const boundary = '--x\r\nContent-Disposition: form-data; name="model"\r\n\r\norg/fake';
    expect(await refusal(send(hearing, 'transcriptions', boundary, { 'content-type': 'multipart/form-data; boundary=x' }))).toEqual([
      400,
      'invalid_value',
      'file',
    ]);
    expect(deaf.starts()).toBe(0);
  });
});

describe('translations', () => {
  test('[store K103] a model without speech is 400, one that cannot translate 422, and one that can answers in English', async () => {
    expect(await refusal(send(deaf, 'translations', form({ file: sound, model })))).toEqual([400, 'capability_mismatch', 'model']);
    expect(await refusal(send(english, 'translations', form({ file: sound, model })))).toEqual([422, 'translation_unsupported', 'model']);
    expect((await english.openai.audio.transcriptions.create({ model, file: await toFile(sound, 'a.wav') })).text).toContain('transcribe');
    const translated = await hearing.openai.audio.translations.create({ model, file: await toFile(sound, 'a.wav') });
    expect(translated.text).toContain('translate audio/wav');
  });
});
