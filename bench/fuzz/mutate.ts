/** Numbers below a bound, the same for a seed (mulberry32). */
export type Random = (below: number) => number;

export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Numbers at which readers of lengths and counts go wrong. */
const EDGES = [0n, 1n, 2n, 7n, 8n, 127n, 128n, 255n, 256n, 65_535n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 60n, 2n ** 63n, 2n ** 64n - 1n];

/** One to four changes of a sound input: bytes, numbers, pieces of the format, pieces of itself and of another one. */
export function mutate(input: Buffer, other: Buffer, words: readonly string[], random: Random): Buffer {
  let bytes: Buffer = Buffer.from(input);
  for (let left = 1 + random(4); left > 0; left -= 1) {
    const at = random(bytes.length + 1);
    switch (random(8)) {
      case 0:
        if (at < bytes.length) bytes[at] = random(256);
        break;
      case 1:
        if (at < bytes.length) bytes[at]! ^= 1 << random(8);
        break;
      case 2:
        bytes = replace(bytes, at, 1 + random(16), '');
        break;
      case 3:
        bytes = replace(bytes, at, random(2) * random(8), words[random(words.length)] ?? '');
        break;
      case 4:
        if (at + 8 <= bytes.length) bytes.writeBigUInt64LE(EDGES[random(EDGES.length)]!, at);
        break;
      case 5:
        if (at + 4 <= bytes.length) bytes.writeUInt32LE(Number(EDGES[random(EDGES.length)]! & 0xffff_ffffn), at);
        break;
      case 6:
        bytes = replace(bytes, at, 0, piece(bytes, random));
        break;
      default:
        bytes = random(8) === 0 ? bytes.subarray(0, at) : replace(bytes, at, random(32), piece(other, random));
    }
  }
  return bytes;
}

const replace = (bytes: Buffer, at: number, count: number, by: string | Buffer): Buffer =>
  Buffer.concat([bytes.subarray(0, at), typeof by === 'string' ? Buffer.from(by, 'latin1') : by, bytes.subarray(Math.min(bytes.length, at + count))]);

function piece(bytes: Buffer, random: Random): Buffer {
  const start = random(bytes.length + 1);
  return bytes.subarray(start, start + 1 + random(64));
}
