// Quantised weights × f32 activations (the reference path of the engine): a row is dequantised once for a tile of tokens, then multiplied as f32.
import { dequantiseRow } from './dequantise';
import { rowTimesTokens } from './plain';
import { bytesAt, INT16 } from './layout';

/** Tokens that a dequantised row meets before the next row. */
const TOKENS: u32 = 16;

/** x [tokens, k] f32; `row`: room for k f32; yStride in bytes. */
export function matmulFloats(bits: u32, group: u32, scaleType: i32, w: usize, sc: usize, bi: usize, x: usize, row: usize, y: usize, yStride: usize, r0: u32, r1: u32, k: u32, tokens: u32): void {
  for (let t: u32 = 0; t < tokens; t += TOKENS) {
    const xs = x + (<usize>(t * k) << 2), ys = y + <usize>t * yStride, n = min(TOKENS, tokens - t);
    for (let r = r0; r < r1; r++) {
      dequantiseRow(bits, group, scaleType, w, sc, bi, r, k, row);
      rowTimesTokens(row, xs, ys + (<usize>r << 2), yStride, k, n);
    }
  }
}

/** Integer activations of one token of a tile of T, back as f32; 8-bit weights of groups of 32. */
function widenActivations(planes: u32, tile: u32, codes: usize, scales: usize, k: u32, to: usize): void {
  for (let i: u32 = 0; i < k; i += 32) {
    const scale = f32x4.splat(load<f32>(scales));
    for (let j: usize = 0; j < 32; j += 4) {
      let v = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(codes + j)));
      if (planes == 2) v = i32x4.add(i32x4.shl(v, 8), i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(codes + j + 32))));
      v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(v), scale));
      to += 16;
    }
    codes += tile * 32 * planes;
    scales += tile << 2;
  }
}

/**
 * A tile of integer activations × E4M3 weights: these span 18 binary digits, too many for dots of bytes, and are rare; so both sides become f32.
 */
export function smallFloatTile(activation: i32, scaleType: i32, w: usize, sc: usize, x: usize, room: usize, y: usize, yStride: usize, tile: u32, full: u32, r0: u32, r1: u32, k: u32): void {
  const planes: u32 = activation == INT16 ? 2 : 1, row = room + bytesAt(32, k), floats = row + 4 * <usize>k, scales = x + (tile * k * planes + 15 & ~15);
  for (let t: u32 = 0; t < full; t++) widenActivations(planes, tile, x + t * 32 * planes, scales + (t << 2), k, floats + (<usize>(t * k) << 2));
  matmulFloats(8, 32, scaleType, w, sc, 0, floats, row, y, yStride, r0, r1, k, full);
}
