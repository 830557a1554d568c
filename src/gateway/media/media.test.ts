import { describe, expect, it, test } from 'vitest';
import type { ChatReply, ChatRequest } from '../../contract/index.ts';
import { readPictureFacts } from './exif.ts';
import { answerBatches, planImageBatches } from './image-batches.ts';
import { encodeWholeChat } from './whole-chat.ts';

type Values = readonly number[] | string;
interface Fields {
  readonly [tag: number]: Values;
}

/** A TIFF block of three directories: numbers are rationals of 1/10000 in the GPS directory. */
function tiff(main: Fields, exif: Fields, gps: Fields, little = true): Buffer {
  const blocks: Buffer[] = [];
  let end = 8;
  const u16 = (value: number) => (little ? Buffer.from([value & 255, value >> 8]) : Buffer.from([value >> 8, value & 255]));
  const u32 = (value: number) => {
    const buffer = Buffer.alloc(4);
    if (little) buffer.writeUInt32LE(value);
    else buffer.writeUInt32BE(value);
    return buffer;
  };
  const put = (fields: Fields, links: Readonly<Record<number, number>> = {}): number => {
    const at = end;
    const tags = [...Object.keys(fields), ...Object.keys(links)].map(Number).sort((a, b) => a - b);
    let data = at + 2 + tags.length * 12 + 4;
    const rows: Buffer[] = [];
    const extra: Buffer[] = [];
    for (const tag of tags) {
      const value = fields[tag];
      if (value === undefined) {
        rows.push(u16(tag), u16(4), u32(1), u32(links[tag]!));
        continue;
      }
      const bytes =
        typeof value === 'string' ? Buffer.from(`${value}\0`, 'latin1') : Buffer.concat(value.flatMap((n) => [u32(Math.round(n * 10_000)), u32(10_000)]));
      rows.push(u16(tag), u16(typeof value === 'string' ? 2 : 5), u32(typeof value === 'string' ? bytes.length : value.length));
      if (bytes.length <= 4) rows.push(Buffer.concat([bytes, Buffer.alloc(4)]).subarray(0, 4));
      else {
        rows.push(u32(data));
        extra.push(bytes);
        data += bytes.length;
      }
    }
    blocks.push(Buffer.concat([u16(tags.length), ...rows, u32(0), ...extra]));
    end = data;
    return at;
  };
  const [exifAt, gpsAt] = [put(exif), put(gps)];
  const mainAt = put(main, { 34665: exifAt, 34853: gpsAt });
  return Buffer.concat([Buffer.from(little ? 'II' : 'MM'), u16(42), u32(mainAt), ...blocks]);
}

function jpeg(block: Buffer | null): Buffer {
  const body = block === null ? Buffer.alloc(0) : Buffer.concat([Buffer.from('Exif\0\0'), block]);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(body.length + 2);
  const segment = block === null ? [] : [Buffer.from([0xff, 0xe1]), length, body];
  return Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 1]), ...segment, Buffer.from([0xff, 0xda, 0, 2, 9, 9])]);
}
const png = (block: Buffer): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(block.length);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), length, Buffer.from('eXIf'), block, Buffer.alloc(4)]);
};
const webp = (block: Buffer): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(block.length);
  return Buffer.concat([Buffer.from('RIFF'), Buffer.alloc(4), Buffer.from('WEBPEXIF'), length, block]);
};

const VIENNA: Fields = { 1: 'N', 2: [48, 12, 29.52], 3: 'E', 4: [16, 22, 25.68], 29: '2024:05:01' };
const CAMERA: Fields = { 271: 'Canon', 272: 'EOS R5', 306: '1999:01:01 00:00:00' };
const TAKEN: Fields = { 36867: '2024:06:02 10:00:00' };

describe('what a picture says of itself', () => {
  it('is read in both byte orders, from JPEG, PNG and WebP', () => {
    const wanted = { place: { latitude: expect.closeTo(48.2082, 4), longitude: expect.closeTo(16.3738, 4) }, day: '2024-05-01', camera: 'Canon EOS R5' };
    for (const little of [true, false]) {
      const block = tiff(CAMERA, TAKEN, VIENNA, little);
      for (const bytes of [jpeg(block), png(block), webp(block)]) expect(readPictureFacts(bytes)).toEqual(wanted);
    }
  });

  it('keeps 0°, knows south and west, and takes the day of the picture where GPS has none, never that of the last change', () => {
    const zero = tiff({}, {}, { 1: 'N', 2: [0, 0, 0], 3: 'E', 4: [0, 0, 0] });
    expect(readPictureFacts(jpeg(zero))).toEqual({ place: { latitude: 0, longitude: 0 } });
    const south = tiff(CAMERA, TAKEN, { 1: 'S', 2: [33, 52, 0], 3: 'W', 4: [70, 30, 0] });
    expect(readPictureFacts(jpeg(south))).toMatchObject({ place: { latitude: expect.closeTo(-33.8667, 4), longitude: -70.5 }, day: '2024-06-02' });
    expect(readPictureFacts(jpeg(tiff(CAMERA, {}, {})))).toEqual({ camera: 'Canon EOS R5' });
    expect(readPictureFacts(jpeg(tiff({ 271: 'Apple', 272: 'Apple iPhone 15' }, {}, {})))).toEqual({ camera: 'Apple iPhone 15' });
  });

  it('counts what is broken as not there, whatever the bytes are', () => {
    const whole = jpeg(tiff(CAMERA, TAKEN, VIENNA));
    for (let length = 0; length < whole.length; length += 1) expect(() => readPictureFacts(whole.subarray(0, length))).not.toThrow();
    for (let at = 0; at < whole.length; at += 1) {
      const changed = Buffer.from(whole);
      changed[at] = 0xff;
      expect(() => readPictureFacts(changed)).not.toThrow();
    }
    expect(readPictureFacts(Buffer.from('GIF89a'))).toEqual({});
    expect(readPictureFacts(jpeg(null))).toEqual({});
    expect(readPictureFacts(jpeg(tiff({}, {}, { 1: 'N', 2: [91, 0, 0], 3: 'E', 4: [0, 0, 0] })))).toEqual({});
  });
});

const pictures = [jpeg(tiff(CAMERA, TAKEN, VIENNA)), jpeg(tiff({}, {}, { 1: 'N', 2: [0, 0, 0], 3: 'E', 4: [0, 0, 0] })), jpeg(null)];
const part = (bytes: Buffer, name?: string) => ({
  type: 'image_url',
  image_url: { url: `data:image/jpeg;base64,${bytes.toString('base64')}` },
  ...(name === undefined ? {} : { name }),
});
const request = (chunk: number | undefined): ChatRequest => ({
  model: 'm',
  messages: [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: [part(pictures[0]!, 'vienna.jpg'), part(pictures[1]!, 'a|b.jpg'), part(pictures[2]!), { type: 'text', text: 'What is it?' }] },
  ],
  ...(chunk === undefined ? {} : { chunk }),
});
const textOf = (body: ChatRequest) =>
  (body.messages.at(-1)!.content as { type: string; text?: string }[])
    .filter(({ type }) => type === 'text')
    .map(({ text }) => text)
    .join('');

describe('[store K91] images in batches', () => {
  it('have ids over the whole call, a table in front, and notes for the model', () => {
    const batches = planImageBatches(request(2), { exif: true, context: true })!;
    expect(batches).toHaveLength(2);
    expect(batches[0]!.intro).toMatch(
      /^<details>\n<summary>📸 Chunk 1\/2: Images 1-2<\/summary>\n\n<!-- mlxk:filenames -->\n\| Image \| Filename \| Original \| Location \| Date \| Camera \|\n(\| --- ){6}\|\n\| 1 \| image_[0-9a-f]{8}\.jpeg \| vienna\.jpg \| 📍 48\.2082°N, 16\.3738°E \| 📅 2024-05-01 \| Canon EOS R5 \|\n\| 2 \| image_[0-9a-f]{8}\.jpeg \| a\\\|b\.jpg \| 📍 0\.0000°N, 0\.0000°E \| - \| - \|\n\n<\/details>\n\n$/,
    );
    expect(batches[1]!.intro).toContain('📸 Chunk 2/2: Images 3-3');
    expect(batches[1]!.intro).toMatch(/\| 3 \| image_[0-9a-f]{8}\.jpeg \| - \| - \| - \| - \|/);
    expect(textOf(batches[0]!.body)).toBe(
      'Image 1 [GPS: 48.2082°N, 16.3738°E | Date: 2024-05-01 | Camera: Canon EOS R5]\nImage 2 [GPS: 0.0000°N, 0.0000°E]\nWhat is it?',
    );
    expect(textOf(batches[1]!.body)).toBe('What is it?');
    for (const { body } of batches) expect([body.messages[0], body.chunk]).toEqual([{ role: 'system', content: 'Be brief.' }, undefined]);
  });

  it('stand in one batch under their count, alone without a number, and equal pictures share an id', () => {
    const [only] = planImageBatches(request(5), { exif: true, context: true })!;
    expect(only!.intro).toContain('<summary>📸 Image Metadata (3 images)</summary>');
    const [single] = planImageBatches(
      { ...request(1), messages: [{ role: 'user', content: [part(pictures[0]!), { type: 'text', text: 'x' }] }] },
      { exif: true, context: true },
    )!;
    expect(textOf(single!.body)).toBe('[GPS: 48.2082°N, 16.3738°E | Date: 2024-05-01 | Camera: Canon EOS R5]\nx');
    const twice = planImageBatches(
      { ...request(1), messages: [{ role: 'user', content: [part(pictures[0]!), part(pictures[1]!), part(pictures[0]!)] }] },
      { exif: false, context: true },
    )!;
    expect(twice.map(({ intro }) => /^\| (\d+) \|/m.exec(intro)?.[1])).toEqual(['1', '2', '1']);
  });

  it('read nothing with EXIF off, and tell the model nothing where it is not to know', () => {
    const off = planImageBatches(request(5), { exif: false, context: true })!;
    expect(off[0]!.intro).toMatch(/\| Image \| Filename \|\n\| --- \| --- \|\n\| 1 \| image_[0-9a-f]{8}\.jpeg \|\n/);
    expect([textOf(off[0]!.body), off[0]!.intro.includes('📍')]).toEqual(['What is it?', false]);
    const silent = planImageBatches(request(5), { exif: true, context: false })!;
    expect([textOf(silent[0]!.body), silent[0]!.intro.includes('📍')]).toEqual(['What is it?', true]);
  });

  it('are answered one after the other and joined by a blank line, as JSON and as one piece of a stream each', async () => {
    const batches = planImageBatches(request(1), { exif: true, context: true })!;
    let asked = 0;
    const reply = (content: string): ChatReply => ({
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 1,
      model: 'm',
      choices: [{ index: 0, message: { role: 'assistant', content, refusal: null }, finish_reason: 'stop', logprobs: null }],
      usage: { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 },
    });
    const joined = await answerBatches(batches, async () => {
      asked += 1;
      return reply(`answer ${asked}`);
    });
    expect(joined.choices[0]!.message.content).toBe(batches.map(({ intro }, i) => `${intro}answer ${i + 1}`).join('\n\n'));
    expect(joined.usage).toEqual({ prompt_tokens: 30, completion_tokens: 6, total_tokens: 36 });
    const events = encodeWholeChat(joined, true).split('\n\n').filter(Boolean);
    expect(events).toHaveLength(5);
    expect(JSON.parse(events[1]!.slice(6))).toMatchObject({ choices: [{ delta: { content: joined.choices[0]!.message.content } }] });
    expect([JSON.parse(events[3]!.slice(6)), events[4]]).toEqual([expect.objectContaining({ usage: joined.usage }), 'data: [DONE]']);
  });
});

test('requests without pictures or without chunk are left alone, and pictures that are no data are refused', () => {
  expect(planImageBatches(request(undefined), { exif: true, context: true })).toBeNull();
  expect(planImageBatches({ model: 'm', chunk: 1, messages: [{ role: 'user', content: 'x' }] }, { exif: true, context: true })).toBeNull();
  const far = { ...request(1), messages: [{ role: 'user' as const, content: [{ type: 'image_url', image_url: { url: 'https://example.org/x.png' } }] }] };
  expect(() => planImageBatches(far, { exif: true, context: true })).toThrow(/data: URL/);
});
