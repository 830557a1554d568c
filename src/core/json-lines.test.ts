import { expect, test } from 'vitest';
import { createJsonLineReader, encodeJsonLine, MAX_MESSAGE_BYTES } from './json-lines.ts';

test('messages survive any split of the bytes, also inside a character', () => {
  const messages = [{ text: 'grüße 🌍' }, [1, 2], 'a\nb', null];
  const bytes = Buffer.from(messages.map(encodeJsonLine).join(''));
  for (let size = 1; size <= bytes.length; size += 3) {
    const seen: unknown[] = [];
    const reader = createJsonLineReader((message) => seen.push(message));
    for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
    expect(seen).toEqual(messages);
  }
});

test('garbage and endless lines are refused', () => {
  const reader = createJsonLineReader(() => {});
  expect(() => reader.push(Buffer.from('{broken\n'))).toThrow(SyntaxError);
  const endless = createJsonLineReader(() => {});
  expect(() => {
    for (let i = 0; i < 20; i++) endless.push(Buffer.alloc(100_000, 0x20));
  }).toThrow(RangeError);
  expect(() => encodeJsonLine('x'.repeat(MAX_MESSAGE_BYTES))).toThrow(RangeError);
});
