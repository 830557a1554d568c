// From the arguments of `matmul` to one function per inner loop, group and tile (and format of scales for one token).
import { wideDots } from './cpu';
import { F32, INT16, tileBytes, tileOf } from './layout';
import { oneToken, tileTokens } from './matmul-integer';
import { tileFloats } from './matmul-f32';

/** Rows whose weights stay in the cache while all tiles of tokens pass. */
const ROWS: u32 = 32;

function oneByScale<K, G>(scaleType: i32, w: usize, sc: usize, bi: usize, x: usize, y: usize, r0: u32, r1: u32, k: u32): void {
  if (scaleType == 0) oneToken<i16, K, G>(w, sc, bi, x, y, r0, r1, k);
  else if (scaleType == 1) oneToken<u16, K, G>(w, sc, bi, x, y, r0, r1, k);
  else oneToken<f32, K, G>(w, sc, bi, x, y, r0, r1, k);
}

function integers<K>(group: u32, scaleType: i32, w: usize, sc: usize, bi: usize, x: usize, y: usize, yStride: usize, tile: u32, full: u32, r0: u32, r1: u32, k: u32): void {
  if (tile == 1) {
    if (group == 32) oneByScale<K, u32>(scaleType, w, sc, bi, x, y, r0, r1, k);
    else if (group == 64) oneByScale<K, u64>(scaleType, w, sc, bi, x, y, r0, r1, k);
    else oneByScale<K, v128>(scaleType, w, sc, bi, x, y, r0, r1, k);
  } else if (tile == 4) {
    if (group == 32) tileTokens<K, u32, u32>(scaleType, group, w, sc, bi, x, y, yStride, full, r0, r1, k);
    else tileTokens<K, u64, u32>(scaleType, group, w, sc, bi, x, y, yStride, full, r0, r1, k);
  } else if (group == 32) tileTokens<K, u32, u64>(scaleType, group, w, sc, bi, x, y, yStride, full, r0, r1, k);
  else tileTokens<K, u64, u64>(scaleType, group, w, sc, bi, x, y, yStride, full, r0, r1, k);
}

function floats<S>(bits: u32, group: u32, w: usize, sc: usize, bi: usize, x: usize, y: usize, yStride: usize, tile: u32, full: u32, r0: u32, r1: u32, k: u32): void {
  if (bits == 4) tileFloats<S, u8>(w, sc, bi, x, y, yStride, tile, full, group, r0, r1, k);
  else tileFloats<S, u32>(w, sc, bi, x, y, yStride, tile, full, group, r0, r1, k);
}

function rows(activation: i32, bits: u32, group: u32, scaleType: i32, w: usize, sc: usize, bi: usize, x: usize, y: usize, yStride: usize, tile: u32, full: u32, r0: u32, r1: u32, k: u32): void {
  if (activation == F32) {
    if (scaleType == 0) floats<i16>(bits, group, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
    else if (scaleType == 1) floats<u16>(bits, group, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
    else floats<f32>(bits, group, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
  } else if (bits == 8) integers<u32>(group, scaleType, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
  else if (wideDots()) {
    if (activation == INT16) integers<v128>(group, scaleType, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
    else integers<u64>(group, scaleType, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
  } else if (activation == INT16) integers<u16>(group, scaleType, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
  else integers<u8>(group, scaleType, w, sc, bi, x, y, yStride, tile, full, r0, r1, k);
}

export function matmul(activation: i32, bits: u32, group: u32, scaleType: i32, w: usize, scales: usize, biases: usize, prepared: usize, y: usize, yStride: u32, r0: u32, r1: u32, k: u32, tokens: u32): void {
  const stride: usize = <usize>yStride << 2, step = tokens == 1 ? r1 - r0 : ROWS;
  for (let from = r0; from < r1; from += step) {
    const to = min(from + step, r1);
    let x = prepared, out = y;
    for (let left = tokens; left > 0; ) {
      const tile = tileOf(left), full = min(tile, left);
      rows(activation, bits, group, scaleType, w, scales, biases, x, out, stride, tile, full, from, to, k);
      x += tileBytes(activation, bits, group, tile, k);
      out += <usize>full * stride;
      left -= full;
    }
  }
}
