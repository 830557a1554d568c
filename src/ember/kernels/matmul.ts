// From the arguments of `matmul` to one function per inner loop, block and tile.
import { wideDots } from './cpu';
import { F32, INT16, S_BF16, S_E8M0, S_F16, tileBytes, tileOf, tilesBytes } from './layout';
import { oneTokenRows, tileRows } from './matmul-integer';
import { matmulFloats, smallFloatTile } from './matmul-f32';

/** Where rows are unpacked and scales widened; 0: behind the activations. */
let ownRoom: usize = 0;
export function useRoom(room: usize): void { ownRoom = room; }

/** Rows whose weights stay in the cache while all tiles of tokens pass. */
const ROWS: u32 = 32;

function byTile<W, A, G>(bits: u32, group: u32, scaleType: i32, w: usize, sc: usize, bi: usize, x: usize, room: usize, y: usize, yStride: usize, tile: u32, full: u32, r0: u32, r1: u32, k: u32): void {
  if (sizeof<W>() == 1 && tile == 1 && group != 128) {
    if (scaleType == S_BF16) oneTokenRows<A, G, u16>(w, sc, bi, x, y, r0, r1, k);
    else if (scaleType == S_F16) oneTokenRows<A, G, i16>(w, sc, bi, x, y, r0, r1, k);
    else oneTokenRows<A, G, f32>(w, sc, bi, x, y, r0, r1, k);
  } else if (tile == 1) tileRows<W, A, G, u8>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, full, r0, r1, k);
  else if (tile == 2) tileRows<W, A, G, u16>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, full, r0, r1, k);
  else if (tile == 4) tileRows<W, A, G, u32>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, full, r0, r1, k);
  else tileRows<W, A, G, u64>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, full, r0, r1, k);
}

function byGroup<W, A>(bits: u32, group: u32, scaleType: i32, w: usize, sc: usize, bi: usize, x: usize, room: usize, y: usize, yStride: usize, tile: u32, full: u32, r0: u32, r1: u32, k: u32): void {
  if (sizeof<W>() == 2 && group == 16) byTile<u16, A, u16>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, tile, full, r0, r1, k);
  else if (group == 32) byTile<W, A, u32>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, tile, full, r0, r1, k);
  else byTile<W, A, u64>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, tile, full, r0, r1, k);
}

function rows<W>(activation: i32, bits: u32, group: u32, scaleType: i32, w: usize, sc: usize, bi: usize, x: usize, room: usize, y: usize, yStride: usize, tile: u32, full: u32, r0: u32, r1: u32, k: u32): void {
  if (wideDots()) {
    if (activation == INT16) byGroup<W, u64>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, tile, full, r0, r1, k);
    else byGroup<W, u16>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, tile, full, r0, r1, k);
  } else if (activation == INT16) byGroup<W, u32>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, tile, full, r0, r1, k);
  else byGroup<W, u8>(bits, group, scaleType, w, sc, bi, x, room, y, yStride, tile, full, r0, r1, k);
}

export function matmul(activation: i32, bits: u32, group: u32, scaleType: i32, w: usize, scales: usize, biases: usize, prepared: usize, y: usize, yStride: u32, r0: u32, r1: u32, k: u32, tokens: u32): void {
  const stride: usize = <usize>yStride << 2, room = ownRoom ? ownRoom : prepared + tilesBytes(activation, group, tokens, k);
  if (activation == F32) {
    matmulFloats(bits, group, scaleType, w, scales, biases, prepared, room, y, stride, r0, r1, k, tokens);
    return;
  }
  const step = tokens <= 8 && tokens != 5 ? r1 - r0 : ROWS;
  for (let from = r0; from < r1; from += step) {
    const to = min(from + step, r1);
    let x = prepared, out = y;
    for (let left = tokens; left > 0; ) {
      const tile = tileOf(left), full = min(tile, left);
      if (bits == 8 && scaleType >= S_E8M0) smallFloatTile(activation, scaleType, w, scales, x, room, out, stride, tile, full, from, to, k);
      else if (bits == 4 && scaleType < S_E8M0) rows<u8>(activation, bits, group, scaleType, w, scales, biases, x, room, out, stride, tile, full, from, to, k);
      else rows<u16>(activation, bits, group, scaleType, w, scales, biases, x, room, out, stride, tile, full, from, to, k);
      x += tileBytes(activation, group, tile, k);
      out += <usize>full * stride;
      left -= full;
    }
  }
}
