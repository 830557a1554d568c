// The KV cache: pages of 32 cells, BF16. Per kv head a page has a block of keys, then one of values (`headDim` · 64 bytes each):
//   keys   [4][headDim][8]: eight cells of one element together, and all elements of eight cells before the next eight
//   values [headDim/8][32][8]: eight elements of one cell together, and all cells of eight elements before the next eight
// so that attention reads both from front to back. Eight BF16 are a 16-byte load: `<< 16` makes f32 of the even ones, `& 0xffff0000` of the odd
// ones; they lie as 0 4 1 5 2 6 3 7, so that these are 0 … 3 and 4 … 7.

/** Cells in a page. */
export const PAGE: u32 = 32;

/** Place of one of eight. */
// @ts-ignore: decorator
@inline
function place(i: u32): u32 { return ((i & 3) << 1) | (i >> 2); }

/** BF16 of four values, one in each 32 bits, half to even; NaN stays NaN. */
// @ts-ignore: decorator
@inline
function narrow4(v: v128): v128 {
  const rounded = i32x4.add(v, i32x4.add(i32x4.splat(0x7fff), v128.and(i32x4.shr_u(v, 16), i32x4.splat(1))));
  return i32x4.shr_u(v128.bitselect(rounded, v128.or(v, i32x4.splat(0x400000)), f32x4.eq(v, v)), 16);
}

export function storeKv(k: usize, v: usize, stride: u32, layerBase: usize, pageStride: u32, pages: usize, position: u32, tokens: u32, kvHeads: u32, headDim: u32): void {
  const keyBytes: usize = <usize>headDim << 6;
  for (let t: u32 = 0; t < tokens; t++) {
    const cell = (position + t) & (PAGE - 1);
    let block: usize = layerBase + <usize>load<u32>(pages + (<usize>((position + t) / PAGE) << 2)) * pageStride, from: usize = 0;
    for (let h: u32 = 0; h < kvHeads; h++) {
      let key = block + <usize>((cell >> 3) * headDim << 4) + (place(cell & 7) << 1), value = block + keyBytes + (cell << 4);
      for (let i: u32 = 0; i < headDim; i += 8) {
        const low = narrow4(v128.load(k + from)), high = narrow4(v128.load(k + from, 16));
        v128.store_lane<u16>(key, low, 0);
        v128.store_lane<u16>(key, low, 2, 16);
        v128.store_lane<u16>(key, low, 4, 32);
        v128.store_lane<u16>(key, low, 6, 48);
        v128.store_lane<u16>(key, high, 0, 64);
        v128.store_lane<u16>(key, high, 2, 80);
        v128.store_lane<u16>(key, high, 4, 96);
        v128.store_lane<u16>(key, high, 6, 112);
        v128.store(value, v128.or(narrow4(v128.load(v + from)), i32x4.shl(narrow4(v128.load(v + from, 16)), 16)));
        key += 128;
        value += 512;
        from += 32;
      }
      block += 2 * keyBytes;
    }
    k += <usize>stride << 2;
    v += <usize>stride << 2;
  }
}
