/**
 * MLX packs neighbours of a row into neighbouring nibbles; GGML gives byte i of a block of 32 the elements i and i + 16.
 * Both functions move 16 bytes, which hold the same 32 codes.
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
