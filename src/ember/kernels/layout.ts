// The prepared form of activations. Tokens go in tiles of 8, 4 or 1; a tile that is not full is filled with zero tokens.
// A tile of T tokens over k values in blocks of B = min(group, 64):
//   codes [k/32][T][32]   order inside the 32: see prepare.ts
//   scales [k/B][T] f32, sums [k/B][T] f32 (scale × sum of the block's codes)
// The f32 path has the codes alone, as f32.

export const INT8: i32 = 0;
export const INT16: i32 = 1;
export const F32: i32 = 2;

// Pairs of weights and activations that have their own inner loop, as the size of the type that stands for them at compile time (u8 … v128).
// D: 32-bit dot products, see cpu.ts. 8-bit codes meet int8 activations as 16-bit values: taking two planes apart costs more.
export const W4X8: usize = 1;
export const W4X16: usize = 2;
export const W8X16: usize = 4;
export const W4D8: usize = 8;
export const W4D16: usize = 16;

// @ts-ignore: decorator
@inline
export function tileOf(tokens: u32): u32 {
  return tokens >= 6 ? 8 : tokens >= 2 ? 4 : 1;
}

// @ts-ignore: decorator
@inline
export function codeBytes(activation: i32, bits: u32): u32 {
  return activation == F32 ? 4 : activation == INT16 || bits == 8 ? 2 : 1;
}

// @ts-ignore: decorator
@inline
export function blockSize(group: u32): u32 {
  return group < 64 ? group : 64;
}

// @ts-ignore: decorator
@inline
export function tileBytes(activation: i32, bits: u32, group: u32, tile: u32, k: u32): u32 {
  const codes = tile * k * codeBytes(activation, bits);
  return activation == F32 ? codes : (codes + 8 * tile * (k / blockSize(group)) + 15) & ~15;
}

export function preparedBytes(activation: i32, bits: u32, group: u32, tokens: u32, k: u32): u32 {
  let bytes: u32 = 0;
  for (let left = tokens; left > 0; ) {
    const tile = tileOf(left);
    bytes += tileBytes(activation, bits, group, tile, k);
    left -= min(tile, left);
  }
  return bytes;
}
