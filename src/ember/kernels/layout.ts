// The prepared form of activations. Tokens go in tiles of 8, 4, 2 or 1; a tile that is not full is filled with zero tokens.
// A tile of T tokens over k values, in chunks of C = min(group, 32) and blocks of B = min(group, 64):
//   codes [k/B][T][B/C][planes][C]   bytes; int16 codes are 256·h + l, in two planes, h before l. Order inside a chunk: see prepare.ts
//   scales [k/B, up to a multiple of 4][T] f32, sums likewise (scale × sum of the block's codes); zero beyond k/B
// The f32 path has the values as they come, [tokens][k]. Behind the tiles lies room for what matmul makes of a row of weights.

export const INT8: i32 = 0;
export const INT16: i32 = 1;
export const F32: i32 = 2;

// Formats of the scales, see ../kernel-interface.ts. With the last two the codes are small floats.
export const S_F16: i32 = 0;
export const S_BF16: i32 = 1;
export const S_F32: i32 = 2;
export const S_E8M0: i32 = 3;
export const S_E4M3: i32 = 4;

// @ts-ignore: decorator
@inline
export function scaleBytes(scaleType: i32): u32 { return scaleType >= S_E8M0 ? 1 : scaleType == S_F32 ? 4 : 2; }

// @ts-ignore: decorator
@inline
export function tileOf(tokens: u32): u32 {
  return tokens >= 6 ? 8 : tokens >= 3 ? 4 : tokens;
}

// @ts-ignore: decorator
@inline
export function planesOf(activation: i32): u32 { return activation == INT16 ? 2 : 1; }

// @ts-ignore: decorator
@inline
export function blockSize(group: u32): u32 { return group < 64 ? group : 64; }

/** Blocks of a row, up to a multiple of four. */
// @ts-ignore: decorator
@inline
export function blockRoom(group: u32, k: u32): u32 { return (k / blockSize(group) + 3) & ~3; }

// @ts-ignore: decorator
@inline
export function tileBytes(activation: i32, group: u32, tile: u32, k: u32): u32 {
  return activation == F32 ? 4 * tile * k : (tile * k * planesOf(activation) + 15 & ~15) + 8 * tile * blockRoom(group, k);
}

/** Bytes of all tiles: where matmul's room begins. */
export function tilesBytes(activation: i32, group: u32, tokens: u32, k: u32): u32 {
  if (activation == F32) return 4 * tokens * k + 15 & ~15;
  const rest = tokens & 7;
  const bytes = (tokens >> 3) * tileBytes(activation, group, 8, k);
  if (rest == 5) return bytes + tileBytes(activation, group, 4, k) + tileBytes(activation, group, 1, k);
  return rest ? bytes + tileBytes(activation, group, tileOf(rest), k) : bytes;
}

/** Blocks whose scales are widened at once: few, so that they are read close to their codes. */
const SCALES: u32 = 256;

/** Rows whose scales are widened at once. */
// @ts-ignore: decorator
@inline
export function rowsAtOnce(blocks: u32): u32 { return max(1, SCALES / blocks); }
/** Matmul's room: sums (32 bytes), scales and biases of some rows as f32, then a row as bytes (two planes), or as f32 with eight tokens as f32. */
// @ts-ignore: decorator
@inline
export function biasesAt(group: u32, k: u32): u32 { return 4 * (max(SCALES, blockRoom(group, k)) + 8); }
// @ts-ignore: decorator
@inline
export function bytesAt(group: u32, k: u32): u32 { return 32 + 2 * biasesAt(group, k); }

export function preparedBytes(activation: i32, bits: u32, group: u32, tokens: u32, k: u32): u32 {
  const tiles = tilesBytes(activation, group, tokens, k);
  if (activation == F32) return tiles + 4 * k;
  return tiles + bytesAt(group, k) + (bits == 8 && group == 32 ? 36 : 2) * k;
}
