/**
 * MLX packs neighbours of a row into neighbouring nibbles; GGML gives byte i of a block of 32 the elements i and i + 16.
 * The first two functions move 16 bytes, which hold the same 32 codes.
 */
export function halvesToNeighbours(from: Uint8Array, at: number, to: Uint8Array, position: number): void {
  for (let k = 0; k < 8; k += 1) {
    const even = from[at + 2 * k]!;
    const odd = from[at + 2 * k + 1]!;
    to[position + k] = (even & 15) | ((odd & 15) << 4);
    to[position + 8 + k] = (even >> 4) | (odd & 0xf0);
  }
}

export function neighboursToHalves(from: Uint8Array, at: number, to: Uint8Array, position: number): void {
  for (let k = 0; k < 8; k += 1) {
    const low = from[at + k]!;
    const high = from[at + 8 + k]!;
    to[position + 2 * k] = (low & 15) | ((high & 15) << 4);
    to[position + 2 * k + 1] = (low >> 4) | (high & 0xf0);
  }
}

/** The same for words of little-endian bytes: four words, which hold the same 32 codes. */
export function neighbourWordsToHalves(from: Uint32Array, at: number, to: Uint32Array, position: number): void {
  for (let k = 0; k < 2; k += 1) {
    const low = from[at + k]!;
    const high = from[at + 2 + k]!;
    to[position + 2 * k] = spread(low & 0xffff) | (spread(high & 0xffff) << 4);
    to[position + 2 * k + 1] = spread(low >>> 16) | (spread(high >>> 16) << 4);
  }
}

export function halfWordsToNeighbours(from: Uint32Array, at: number, to: Uint32Array, position: number): void {
  for (let k = 0; k < 2; k += 1) {
    const first = from[at + 2 * k]!;
    const second = from[at + 2 * k + 1]!;
    to[position + k] = gather(first) | (gather(second) << 16);
    to[position + 2 + k] = gather(first >>> 4) | (gather(second >>> 4) << 16);
  }
}

/** Four nibbles to the lower halves of four bytes. */
function spread(nibbles: number): number {
  const pairs = (nibbles | (nibbles << 8)) & 0x00ff_00ff;
  return (pairs | (pairs << 4)) & 0x0f0f_0f0f;
}

/** The lower halves of four bytes to four nibbles. */
function gather(bytes: number): number {
  const nibbles = bytes & 0x0f0f_0f0f;
  const pairs = (nibbles | (nibbles >>> 4)) & 0x00ff_00ff;
  return (pairs | (pairs >>> 8)) & 0xffff;
}
