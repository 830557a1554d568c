/**
 * Codes ↔ little-endian words: a row is one bit stream, least significant bit first (docs/spec/formats.md §3.1). Rows fill whole words,
 * so that many rows in one array are one long stream.
 */
export function packCodes(bits: number, codes: Uint8Array): Uint32Array {
  const words = new Uint32Array(wordCount(bits, codes.length));
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

export function unpackCodes(bits: number, words: Uint32Array): Uint8Array {
  const codes = new Uint8Array(Math.floor((words.length * 32) / bits));
  if (wordCount(bits, codes.length) !== words.length) throw new RangeError(`${words.length} words are not whole rows of ${bits}-bit codes`);
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

/** Raw tensor bytes as words; a copy, since tensors are not aligned in their file. */
export const toWords = (bytes: Uint8Array): Uint32Array => new Uint32Array(bytes.slice().buffer);

function wordCount(bits: number, codes: number): number {
  const words = (codes * bits) / 32;
  if (!Number.isInteger(words)) throw new RangeError(`${codes} codes of ${bits} bits do not fill whole words`);
  return words;
}
