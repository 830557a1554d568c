import type { CodePointRange } from './grammar.ts';

/** A run of byte ranges, one for each byte of a UTF-8 sequence. */
export type ByteSequence = readonly (readonly [first: number, last: number])[];

const LIMITS = [0x7f, 0x7ff, 0xffff, 0x10ffff];

/** UTF-8 sequences that stand for exactly the code points of a range (the usual splitting at borders of length and of trailing bytes). */
export function utf8Sequences([first, last]: CodePointRange): ByteSequence[] {
  const sequences: ByteSequence[] = [];
  const pending: [number, number][] = [[first, last]];
  for (let range = pending.pop(); range !== undefined; range = pending.pop()) {
    const [low, high] = range;
    if (low > high) continue;
    if (low <= 0xdfff && high >= 0xd800) {
      pending.push([low, 0xd7ff], [0xe000, high]);
      continue;
    }
    const limit = LIMITS.find((border) => low <= border && border < high);
    if (limit !== undefined) {
      pending.push([low, limit], [limit + 1, high]);
      continue;
    }
    const split = unevenBorder(low, high);
    if (split !== undefined) pending.push([low, split], [split + 1, high]);
    else sequences.push(zip(encode(low), encode(high)));
  }
  return sequences;
}

/** Where a range has to be cut, so that below its first differing byte all trailing bytes run from 80 to BF. */
function unevenBorder(low: number, high: number): number | undefined {
  if (high <= 0x7f) return undefined;
  for (let bits = 6; bits <= 18; bits += 6) {
    const mask = (1 << bits) - 1;
    if ((low & ~mask) === (high & ~mask)) return undefined;
    if ((low & mask) !== 0) return low | mask;
    if ((high & mask) !== mask) return (high & ~mask) - 1;
  }
  return undefined;
}

function encode(point: number): number[] {
  if (point <= 0x7f) return [point];
  if (point <= 0x7ff) return [0xc0 | (point >> 6), 0x80 | (point & 0x3f)];
  if (point <= 0xffff) return [0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f)];
  return [0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f)];
}

const zip = (low: readonly number[], high: readonly number[]): ByteSequence => low.map((byte, i) => [byte, high[i]!] as const);
