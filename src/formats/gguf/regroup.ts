/**
 * MLX packs neighbours of a row into neighbouring nibbles; GGML gives byte i of a block of 32 the elements i and i + 16.
 * Moves 16 bytes, which hold the same 32 codes; the kernels have the way back.
 */
export function neighboursToHalves(from: Uint8Array, at: number, to: Uint8Array, position: number): void {
  for (let k = 0; k < 8; k += 1) {
    const low = from[at + k]!;
    const high = from[at + 8 + k]!;
    to[position + 2 * k] = (low & 15) | ((high & 15) << 4);
    to[position + 2 * k + 1] = (low >> 4) | (high & 0xf0);
  }
}
