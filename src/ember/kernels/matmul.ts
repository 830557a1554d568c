// From the arguments of `matmul` to one function per format of scales, inner loop, group and tile.
import { wideDots } from './cpu';
import { F32, INT16, tileBytes, tileOf } from './layout';
import { oneToken, tileTokens } from './matmul-integer';
import { tileFloats } from './matmul-f32';

/** Rows whose weights stay in the cache while all tiles of tokens pass. */
const ROWS: u32 = 32;

function integers<S, K, G>(w: usize, sc: usize, bi: usize, x: usize, y: usize, yStride: usize, tile: u32, full: u32, r0: u32, r1: u32, k: u32): void {
  if (tile == 8) tileTokens<S, K, G, u64>(w, sc, bi, x, y, yStride, full, r0, r1, k);
  else if (tile == 4) tileTokens<S, K, G, u32>(w, sc, bi, x, y, yStride, full, r0, r1, k);
  else oneToken<S, K, G>(w, sc, bi, x, y, r0, r1, k);
}

function byGroup<S, K>(group: u32, w: usize, sc: usize, bi: usize, x: usize, y: usize, yStride: usize, tile: u32, full: u32, r0: u32, r1: u32, k: u32): void {
  if (group == 32) integers<S, K, u32>(w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
  else if (group == 64) integers<S, K, u64>(w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
  else integers<S, K, v128>(w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
}

function byKind<S>(activation: i32, bits: u32, group: u32, w: usize, sc: usize, bi: usize, x: usize, y: usize, yStride: usize, tile: u32, full: u32, r0: u32, r1: u32, k: u32): void {
  if (activation == F32) {
    if (bits == 4) tileFloats<S, u8>(w, sc, bi, x, y, yStride, tile, full, group, r0, r1, k);
    else tileFloats<S, u32>(w, sc, bi, x, y, yStride, tile, full, group, r0, r1, k);
  } else if (bits == 8) byGroup<S, u32>(group, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
  else if (wideDots()) {
    if (activation == INT16) byGroup<S, v128>(group, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
    else byGroup<S, u64>(group, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
  } else if (activation == INT16) byGroup<S, u16>(group, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
  else byGroup<S, u8>(group, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
}

export function matmul(activation: i32, bits: u32, group: u32, scaleType: i32, w: usize, scales: usize, biases: usize, prepared: usize, y: usize, yStride: u32, r0: u32, r1: u32, k: u32, tokens: u32): void {
  const stride: usize = <usize>yStride << 2, step = tokens == 1 ? r1 - r0 : ROWS;
  for (let from = r0; from < r1; from += step) {
    const to = min(from + step, r1);
    let x = prepared, out = y;
    for (let left = tokens; left > 0; ) {
      const tile = tileOf(left), full = min(tile, left);
      if (scaleType == 0) byKind<i16>(activation, bits, group, w, scales, biases, x, out, stride, tile, full, from, to, k);
      else if (scaleType == 1) byKind<u16>(activation, bits, group, w, scales, biases, x, out, stride, tile, full, from, to, k);
      else byKind<f32>(activation, bits, group, w, scales, biases, x, out, stride, tile, full, from, to, k);
      x += tileBytes(activation, bits, group, tile, k);
      out += <usize>full * stride;
      left -= full;
    }
  }
}
