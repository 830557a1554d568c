/**
 * Codes ↔ little-endian words: a row is one bit stream, least significant bit first (docs/spec/formats.md §3.1). Rows fill whole words,
 * so that many rows in one array are one long stream.
 */
export function packCodes(bits: number, codes: Uint8Array): Uint32Array {
  const words = new Uint32Array(wordCount(bits, codes.length));
  for (let i = 0; i < codes.length; i++) {
    const bit = i * bits;
    const word = Math.floor(bit / 32);
    const shift = bit % 32;
    const code = codes[i]! & (2 ** bits - 1);
    words[word]! |= code << shift;
    if (shift + bits > 32) words[word + 1]! |= code >>> (32 - shift);
  }
  return words;
}

export function unpackCodes(bits: number, words: Uint32Array): Uint8Array {
  const codes = new Uint8Array(Math.floor((words.length * 32) / bits));
  if (wordCount(bits, codes.length) !== words.length) throw new RangeError(`${words.length} words are not whole rows of ${bits}-bit codes`);
  const mask = 2 ** bits - 1;
  for (let i = 0; i < codes.length; i++) {
    const bit = i * bits;
    const word = Math.floor(bit / 32);
    const shift = bit % 32;
    const high = shift + bits > 32 ? words[word + 1]! << (32 - shift) : 0;
    codes[i] = ((words[word]! >>> shift) | high) & mask;
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
