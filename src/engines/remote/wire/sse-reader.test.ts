import { describe, expect, test } from 'vitest';
import { readWireEvents, type WireEvent } from './sse-reader.ts';

const limits = { maxEventBytes: 1_000, tooLarge: () => new RangeError('too large'), notUtf8: () => new TypeError('not UTF-8') };

async function read(bytes: Uint8Array, every: number, more = limits): Promise<WireEvent[]> {
  async function* packets() {
    for (let at = 0; at < bytes.byteLength; at += every) yield bytes.subarray(at, at + every);
  }
  const events: WireEvent[] = [];
  for await (const together of readWireEvents(packets(), more)) events.push(...together);
  return events;
}

const said = (events: readonly WireEvent[]) => events.filter(({ data }) => data !== null).map(({ name, data }) => [name, data]);
const bytesOf = (text: string) => new TextEncoder().encode(text);

describe('events of an upstream', () => {
  const body = ['data: {"a":1}\n\n', ': comment\n\n', 'event: x\ndata: one\ndata:two\nid: 7\n\n', 'data: Grüße 🌍\n\n', 'data\n\n', 'data: last\n\n'];
  const expected = [
    [null, '{"a":1}'],
    ['x', 'one\ntwo'],
    [null, 'Grüße 🌍'],
    [null, ''],
    [null, 'last'],
  ];

  for (const [name, end] of [
    ['LF', '\n'],
    ['CR', '\r'],
    ['CRLF', '\r\n'],
  ] as const) {
    test(`any packet split gives the same events and the same bytes with ${name}`, async () => {
      const bytes = bytesOf(body.join('').replaceAll('\n', end));
      for (const every of [1, 2, 3, 5, 7, 64, bytes.byteLength]) {
        const events = await read(bytes, every);
        expect(said(events)).toEqual(expected);
        expect(Buffer.concat(events.map((event) => event.bytes))).toEqual(Buffer.from(bytes));
        expect(events.every(({ complete }) => complete || end === '\r\n')).toBe(true);
      }
    });
  }

  test('a byte order mark is taken at the beginning only', async () => {
    const bytes = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytesOf(body.join(''))]);
    for (const every of [1, 2, 4, 100]) expect(said(await read(bytes, every))).toEqual(expected);
  });

  test('comments are told beside the data', async () => {
    const events = await read(bytesOf(': keepalive 3/9\n\n:\ndata: x\n\n'), 4);
    expect(events.map(({ comments }) => comments)).toEqual([['keepalive 3/9'], ['']]);
  });

  test('an event that the stream ends in is marked', async () => {
    const events = await read(bytesOf('data: a\n\ndata: {"b'), 6);
    expect(events.map(({ data, complete }) => [data, complete])).toEqual([
      ['a', true],
      ['{"b', false],
    ]);
  });

  test('an event over the limit is refused before it is there as a whole, and so is what is no UTF-8', async () => {
    let taken = 0;
    async function* endless() {
      for (;;) {
        taken += 100;
        yield bytesOf('x'.repeat(100));
      }
    }
    await expect(async () => {
      for await (const _ of readWireEvents(endless(), limits));
    }).rejects.toThrow('too large');
    expect(taken).toBeLessThanOrEqual(1_200);
    await expect(read(Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0x0a, 0x0a]), 2)).rejects.toThrow('not UTF-8');
  });
});
