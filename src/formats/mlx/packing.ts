/**
 * Codes ↔ little-endian words: a row is one bit stream, least significant bit first (docs/spec/formats.md §3.1). Rows fill whole words,
 * so that many rows in one array are one long stream.
 */
export function packCodes(bits: number, codes: Uint8Array): Uint32Array {
  const words = new Uint32Array(wordCount(bits, codes.length));
  if (bits === 8) return packBytes(codes, words);
  if (bits === 4) return packNibbles(codes, words);
  const mask = 2 ** bits - 1;
  let filled = 0;
  let word = 0;
  let at = 0;
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i]! & mask;
    word |= code << filled;
    filled += bits;
    if (filled < 32) continue;
    words[at++] = word;
    filled -= 32;
    // What of the code did not fit; a shift by the whole width would be a shift by its remainder modulo 32.
    word = filled > 0 ? code >>> (bits - filled) : 0;
  }
  return words;
}

function packBytes(codes: Uint8Array, words: Uint32Array): Uint32Array {
  new Uint8Array(words.buffer).set(codes);
  return words;
}

function packNibbles(codes: Uint8Array, words: Uint32Array): Uint32Array {
  const bytes = new Uint8Array(words.buffer);
  for (let i = 0, at = 0; i < bytes.length; i++, at += 2) bytes[i] = (codes[at]! & 15) | (codes[at + 1]! << 4);
  return words;
}

export function unpackCodes(bits: number, words: Uint32Array): Uint8Array {
  const codes = new Uint8Array(Math.floor((words.length * 32) / bits));
  if (wordCount(bits, codes.length) !== words.length) throw new RangeError(`${words.length} words are not whole rows of ${bits}-bit codes`);
  if (bits === 4 || bits === 8) return unpackBytes(bits, new Uint8Array(words.buffer, words.byteOffset, words.byteLength), codes);
  const mask = 2 ** bits - 1;
  let shift = 0;
  let at = 0;
  for (let i = 0; i < codes.length; i++) {
    let code = words[at]! >>> shift;
    shift += bits;
    if (shift >= 32) {
      at++;
      shift -= 32;
      if (shift > 0) code |= words[at]! << (bits - shift);
    }
    codes[i] = code & mask;
  }
  return codes;
}

function unpackBytes(bits: 4 | 8, bytes: Uint8Array, codes: Uint8Array): Uint8Array {
  if (bits === 8) codes.set(bytes);
  else
    for (let i = 0; i < bytes.length; i++) {
      codes[2 * i] = bytes[i]! & 15;
      codes[2 * i + 1] = bytes[i]! >> 4;
    }
  return codes;
}

/** Raw tensor bytes as words; a copy, since tensors are not aligned in their file. */
export const toWords = (bytes: Uint8Array): Uint32Array => new Uint32Array(bytes.slice().buffer);

function wordCount(bits: number, codes: number): number {
  const words = (codes * bits) / 32;
  if (!Number.isInteger(words)) throw new RangeError(`${codes} codes of ${bits} bits do not fill whole words`);
  return words;
}
