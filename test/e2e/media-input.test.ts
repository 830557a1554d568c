import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { createSeeingEngine } from '../support/seeing-engine.ts';
import { dataUrl, flac, gif, jpeg, mp3, ogg, png, pngChunk, wav, webp } from '../support/tiny-pictures.ts';

let seeing: HttpFixture;
let blind: HttpFixture;
beforeAll(async () => {
  seeing = await startHttp({}, { engines: [createSeeingEngine()], api: { maxBodyBytes: 48 * 1024 * 1024 } });
  blind = await startHttp({});
  // Loaded before anything is timed.
  await seeing.openai.chat.completions.create({ model: 'org/fake', messages: [{ role: 'user', content: 'hi' }] });
});
afterAll(async () => {
  await seeing?.[Symbol.asyncDispose]();
  await blind?.[Symbol.asyncDispose]();
});

interface Told {
  readonly status: number;
  readonly text?: string;
  readonly code?: string;
  readonly param?: string | null;
}

async function show(server: HttpFixture, parts: readonly object[]): Promise<Told> {
  const response = await fetch(`${server.baseUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'org/fake', messages: [{ role: 'user', content: parts }] }),
  });
  const body = (await response.json()) as { choices?: { message: { content: string } }[]; error?: { code: string; param: string | null } };
  if (body.error) return { status: response.status, code: body.error.code, param: body.error.param };
  return { status: response.status, text: body.choices![0]!.message.content };
}
const image = (url: string) => ({ type: 'image_url', image_url: { url } });
const picture = (bytes: Uint8Array, type?: string) => image(dataUrl(bytes, type));
const sound = (bytes: Uint8Array, format: string) => ({ type: 'input_audio', input_audio: { data: Buffer.from(bytes).toString('base64'), format } });
const changed = (bytes: Buffer, at: number, value: number): Buffer => {
  bytes.writeUInt32LE(value, at);
  return bytes;
};
const REFUSED = { status: 400, code: 'invalid_value', param: 'messages.0.content.0' };

describe('[serving V16] images by data URL', () => {
  test('reach the engine as the bytes that they were, whatever their kind', async () => {
    const kinds: [Buffer, string][] = [
      [png(5, 4), 'image/png'],
      [jpeg(5, 4), 'image/jpeg'],
      [gif(5, 4, 3), 'image/gif'],
      [webp(5, 4), 'image/webp'],
      [webp(5, 4, 2), 'image/webp'],
    ];
    for (const [bytes, type] of kinds)
      expect(await show(seeing, [{ type: 'text', text: 'see ' }, picture(bytes, type)])).toEqual({ status: 200, text: `echo: see [${type} ${bytes.length}]` });
    expect(await show(seeing, [picture(jpeg(5, 4), 'image/jpg')])).toMatchObject({ status: 200 });
    expect(await show(blind, [{ type: 'text', text: 'see ' }, picture(png(5, 4))])).toEqual({
      status: 400,
      code: 'capability_mismatch',
      param: 'messages.0.content.1',
    });
    expect(await show(blind, [sound(wav(16_000, 1), 'wav')])).toMatchObject({ status: 400, code: 'capability_mismatch', param: 'messages.0.content.0' });
  });

  test('[security G32] wrong magic, SVG, giant pictures, long animations, metadata and trailing bytes, cut base64 and too many are 400 within a second', async () => {
    const good = png(2, 2);
    const cases: [string, object][] = [
      ['wrong magic', picture(Buffer.from('not a picture at all, but text'))],
      ['another kind than it is called', picture(jpeg(2, 2), 'image/png')],
      ['SVG', picture(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'image/svg+xml')],
      ['SVG that is called PNG', picture(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'))],
      ['50k × 50k PNG', picture(png(50_000, 50_000, [], false))],
      ['50k × 50k JPEG', picture(jpeg(50_000, 50_000), 'image/jpeg')],
      ['no width', picture(png(0, 5, [], false))],
      ['10,000 frames of GIF', picture(gif(2, 2, 10_000), 'image/gif')],
      ['10,000 frames of WebP', picture(webp(2, 2, 10_000), 'image/webp')],
      ['10,000 frames of PNG', picture(png(2, 2, [pngChunk('acTL', Buffer.from([0, 0, 0x27, 0x10, 0, 0, 0, 0]))]))],
      ['frames that are too much together', picture(gif(4_000, 4_000, 60), 'image/gif')],
      ['metadata of PNG', picture(png(2, 2, [pngChunk('zTXt', Buffer.alloc(2 * 1024 * 1024))]))],
      [
        'metadata of JPEG',
        picture(
          jpeg(
            2,
            2,
            Array.from({ length: 20 }, () => [0xe1, Buffer.alloc(60_000)] as const),
          ),
          'image/jpeg',
        ),
      ],
      ['polyglot', picture(Buffer.concat([good, Buffer.alloc(70_000, 'PK')]))],
      ['cut picture', picture(good.subarray(0, good.length - 10))],
      ['cut base64', image(dataUrl(good).slice(0, -3))],
      ['URL alphabet', image('data:image/png;base64,iVBORw0KGgo_')],
      ['no base64 at all', image(`data:image/png,${encodeURIComponent(good.toString('latin1'))}`)],
      ['empty', image('data:image/png;base64,')],
      ['too large', picture(Buffer.concat([good, Buffer.alloc(21 * 1024 * 1024)]))],
    ];
    for (const [name, part] of cases) {
      const before = process.cpuUsage();
      expect([name, await show(seeing, [part])]).toEqual([name, REFUSED]);
      // Time of the processor: the machine may be busy with other things.
      const { user, system } = process.cpuUsage(before);
      expect([name, user + system < 1_000_000]).toEqual([name, true]);
    }
    const many = Array.from({ length: 17 }, () => picture(good));
    expect(await show(seeing, many)).toMatchObject({ status: 400, code: 'invalid_value', param: 'messages.0.content.16' });
    expect(
      await show(
        seeing,
        Array.from({ length: 65 }, () => ({ type: 'text', text: 'x' })),
      ),
    ).toMatchObject({ status: 400, code: 'invalid_value' });
    expect(await show(seeing, many.slice(0, 16))).toMatchObject({ status: 200 });
  });

  test('the same files cut anywhere, and with any byte changed, are taken or refused, and nothing else happens', async () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed % below;
    };
    const parts = Array.from({ length: 300 }, () => {
      const bytes = Buffer.from([png(3, 3), jpeg(3, 3), gif(3, 3, 2), webp(3, 3, 2)][random(4)]!);
      bytes[8 + random(bytes.length - 8)] = random(256);
      const type = bytes[0] === 0x89 ? 'image/png' : bytes[0] === 0xff ? 'image/jpeg' : bytes[0] === 0x47 ? 'image/gif' : 'image/webp';
      return picture(random(2) === 0 ? bytes : bytes.subarray(0, random(bytes.length)), type);
    });
    const seen = new Set<number>();
    for (const part of parts) {
      const told = await show(seeing, [part]);
      seen.add(told.status);
      if (told.status !== 200) expect(told).toEqual(REFUSED);
    }
    expect([...seen].sort()).toEqual([200, 400]);
  });
});

describe('sounds', () => {
  test('[security G33] reach the engine by their header; what lasts too long, is too fast or is something else is refused', async () => {
    const kinds: [Buffer, string, string][] = [
      [wav(16_000, 1), 'wav', 'audio/wav'],
      [wav(16_000, 1, 0xffff_ffff), 'wav', 'audio/wav'],
      [mp3(40), 'mp3', 'audio/mpeg'],
      [flac(44_100, 60), 'flac', 'audio/flac'],
      [ogg(60), 'ogg', 'audio/ogg'],
    ];
    for (const [bytes, format, type] of kinds)
      expect(await show(seeing, [sound(bytes, format)])).toEqual({ status: 200, text: `echo: [${type} ${bytes.length}]` });
    const refused: [string, object][] = [
      ['another kind', sound(wav(16_000, 1), 'mp3')],
      ['31 minutes of FLAC', sound(flac(44_100, 31 * 60), 'flac')],
      ['31 minutes of Opus', sound(ogg(31 * 60), 'ogg')],
      ['31 minutes of MP3', sound(mp3(75_000), 'mp3')],
      ['4 kHz', sound(wav(4_000, 1), 'wav')],
      ['384 kHz', sound(wav(384_000, 1), 'wav')],
      ['text', sound(Buffer.from('nothing to hear'), 'wav')],
      ['WAV whose rate of bytes is not that of its samples', sound(changed(wav(16_000, 1), 28, 0xffff_ffff), 'wav')],
      ['compressed WAV', sound(changed(wav(16_000, 1), 20, 0x0001_0011), 'wav')],
      ['FLAC of a length that it does not tell', sound(flac(44_100, 0), 'flac')],
      ['a list of pictures as a video', image(`data:video/jpeg;base64,${'AAAA,'.repeat(1_000_000)}`)],
    ];
    for (const [name, part] of refused) expect([name, await show(seeing, [part])]).toEqual([name, REFUSED]);
    // No engine takes videos: they are refused before a byte of them is looked at, one picture or a million.
    for (const url of [`data:video/jpeg;base64,${'AAAA,'.repeat(1_000_000)}`, 'data:video/mp4;base64,AAAA', 'https://example.test/x.mp4'])
      expect(await show(seeing, [{ type: 'video_url', video_url: { url } }])).toEqual({ ...REFUSED, code: 'capability_mismatch' });
  });
});

describe('images by link', () => {
  let server: Server;
  let port: number;
  let connections = 0;
  const network = () => ({
    resolve: async (name: string) => (name === 'pictures.example' ? ['93.184.215.14'] : name === 'inside.example' ? ['10.0.0.7'] : []),
    dial: () => ({ host: '127.0.0.1', port }),
    timeoutMs: 400,
  });
  const start = (remoteUrls: 'off' | 'public') => startHttp({}, { engines: [createSeeingEngine()], api: { media: { remoteUrls, network: network() } } });
  const fine = png(6, 6);
  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === '/fine') response.setHeader('content-type', 'image/png').end(fine);
      else if (request.url === '/page') response.setHeader('content-type', 'text/html').end('<html></html>');
      else if (request.url === '/large') response.setHeader('content-type', 'image/png').end(Buffer.concat([fine, Buffer.alloc(21 * 1024 * 1024)]));
      else if (request.url === '/inside') response.writeHead(302, { location: 'http://inside.example/' }).end();
      else response.setHeader('content-type', 'image/png').write(fine.subarray(0, 20));
    });
    server.on('connection', () => {
      connections += 1;
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    ({ port } = server.address() as AddressInfo);
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  test('[serving V16] [security G34] are 400 by default, naming the part, and nothing is connected', async () => {
    await using off = await start('off');
    for (const url of [
      'http://pictures.example/fine',
      'https://pictures.example/fine',
      `http://127.0.0.1:${port}/fine`,
      'file:///etc/passwd',
      'ftp://x.example/',
    ])
      expect(await show(off, [image(url)])).toEqual(REFUSED);
    expect(connections).toBe(0);
  });

  test('[serving V16] are fetched with `public` under limits of size, time and address, and never for a model that takes none', async () => {
    await using open = await start('public');
    expect(await show(open, [image('http://pictures.example/fine')])).toEqual({ status: 200, text: `echo: [image/png ${fine.length}]` });
    const reply = await open.openai.responses.create({
      model: 'org/fake',
      input: [{ role: 'user', content: [{ type: 'input_image', detail: 'auto', image_url: 'http://pictures.example/fine' }] }],
    });
    expect(reply.output_text).toBe(`echo: [image/png ${fine.length}]`);
    const before = connections;
    for (const path of ['page', 'large', 'inside', 'slow'])
      expect([path, await show(open, [image(`http://pictures.example/${path}`)])]).toEqual([path, REFUSED]);
    expect(connections).toBe(before + 4);
    for (const url of ['http://inside.example/fine', `http://127.0.0.1:${port}/fine`, 'file:///etc/passwd'])
      expect(await show(open, [image(url)])).toEqual(REFUSED);
    await using text = await startHttp({}, { api: { media: { remoteUrls: 'public', network: network() } } });
    expect(await show(text, [image('http://pictures.example/fine')])).toMatchObject({ status: 400, code: 'capability_mismatch' });
    expect(connections).toBe(before + 4);
  });
});
