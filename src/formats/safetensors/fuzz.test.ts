import { describe, expect, it } from 'vitest';
import { parseSafetensorsHeader } from './parse-header.ts';

/** Small random numbers from a seed (xorshift32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const SEED_FILES = [
  '{"__metadata__":null,"a.weight":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},"b":{"data_offsets":[0,4],"dtype":"F32","shape":[]}}   ',
  '{"__metadata__":{"format":"mlx","k\\u00e9":"v"},"z":{"dtype":"U8","shape":[0,4],"data_offsets":[0,0]},"y":{"dtype":"F4","shape":[32],"data_offsets":[0,16]}}',
].map((header) => {
  const bytes = Buffer.alloc(8 + header.length + 16);
  bytes.writeBigUInt64LE(BigInt(header.length));
  bytes.write(header, 8);
  return bytes;
});
const PIECES = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  '\\u0000',
  '\\ud800',
  'null',
  '-',
  '0',
  '1e9',
  '99999999999999999999',
  '"shape"',
  '"__proto__"',
  '\xff',
  '\0',
  ' ',
];

function mutate(file: Buffer, random: (below: number) => number): Buffer {
  const bytes = [...file];
  for (let edits = 1 + random(4); edits > 0; edits--) {
    const at = random(4) === 0 ? random(8) : 8 + random(bytes.length - 8);
    const kind = random(4);
    if (kind === 0) bytes[at] = random(256);
    else if (kind === 1) bytes.splice(at, 1 + random(8));
    else if (kind === 2) bytes.splice(at, 0, ...Buffer.from(PIECES[random(PIECES.length)]!, 'latin1'));
    else bytes.splice(at, 0, ...bytes.slice(8 + random(40), 8 + random(120)));
    if (bytes.length < 12) break;
  }
  const result = Buffer.from(bytes);
  // Most mutations change the length; half of the files state it rightly, so that the parser gets past the frame.
  if (result.length > 24 && random(2) === 0) result.writeBigUInt64LE(BigInt(result.length - 24));
  return result;
}

describe('safetensors parser', () => {
  it('[formats F2] 60,000 mutated files give a table or a code, never an exception, and an accepted table covers the data exactly', () => {
    const random = randomFrom(0x5afe);
    const codes = new Set<string>();
    for (let i = 0; i < 60_000; i++) {
      const bytes = mutate(SEED_FILES[i % SEED_FILES.length]!, random);
      const result = parseSafetensorsHeader(bytes, bytes.length);
      codes.add(result.ok ? 'ok' : result.code);
      if (!result.ok) continue;
      const entries = [...result.header.tensors.values()];
      expect(entries.reduce((sum, entry) => sum + entry.bytes, 0)).toBe(bytes.length - 8 - result.header.headerBytes);
      for (const entry of entries) expect(entry.offset + entry.bytes).toBeLessThanOrEqual(bytes.length);
    }
    expect(codes).toContain('ok');
    expect(codes.size).toBeGreaterThan(25);
  });

  it('[formats F2] random bytes and odd sizes never make it throw', () => {
    const random = randomFrom(7);
    for (let i = 0; i < 20_000; i++) {
      const bytes = Uint8Array.from({ length: random(64) }, () => random(256));
      bytes.set([random(60), 0, 0, 0, 0, 0, 0, 0].slice(0, bytes.length));
      if (bytes.length > 8) bytes[8] = 0x7b;
      for (const size of [bytes.length, 0, -1, 9.5, Number.NaN, Number.POSITIVE_INFINITY])
        expect(typeof parseSafetensorsHeader(bytes, size).ok).toBe('boolean');
    }
  });
});
