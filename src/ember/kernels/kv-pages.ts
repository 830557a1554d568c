// The KV cache: pages of 32 cells as BF16, float32 or int8. Per kv head a page has a block of keys, then one of values (32 · headDim values each):
//   keys   [4][headDim][8]: eight cells of one element together, and all elements of eight cells before the next eight
//   values [headDim/8][32][8]: eight elements of one cell together, and all cells of eight elements before the next eight
// so that attention reads both from front to back. Eight BF16 are a 16-byte load: `<< 16` makes f32 of the even ones, `& 0xffff0000` of the odd
// ones; they lie as 0 4 1 5 2 6 3 7, so that these are 0 … 3 and 4 … 7. The other types keep their eights in order.
// int8: the blocks are followed by the f32 scales of the keys [32] and of the values [32], one per cell.
// Cells whose key is their value too (`shared`) have the block and the scales of the keys alone.

/** Cells in a page. */
export const PAGE: u32 = 32;
export const KV_BF16: i32 = 0;
export const KV_F32: i32 = 1;
export const KV_INT8: i32 = 2;

/** Bytes of one value. */
// @ts-ignore: decorator
@inline
export function kvWidth(kvType: i32): usize { return kvType == KV_F32 ? 4 : kvType == KV_INT8 ? 1 : 2; }

/** Bytes of one kv head in a page. */
// @ts-ignore: decorator
@inline
export function headBlockBytes(kvType: i32, headDim: u32, shared: boolean): usize {
  const keys = <usize>(PAGE * headDim) * kvWidth(kvType) + (kvType == KV_INT8 ? <usize>(4 * PAGE) : 0);
  return shared ? keys : 2 * keys;
}

export function pageBytes(kvType: i32, kvHeads: u32, headDim: u32, shared: i32): u32 { return kvHeads * <u32>(headBlockBytes(kvType, headDim, shared != 0)); }

/** BF16 of four values, one in each 32 bits, half to even; NaN stays NaN. */
// @ts-ignore: decorator
@inline
function narrow4(v: v128): v128 {
  const rounded = i32x4.add(v, i32x4.add(i32x4.splat(0x7fff), v128.and(i32x4.shr_u(v, 16), i32x4.splat(1))));
  return i32x4.shr_u(v128.bitselect(rounded, v128.or(v, i32x4.splat(0x400000)), f32x4.eq(v, v)), 16);
}

/** Place of one of eight BF16. */
// @ts-ignore: decorator
@inline
function place(i: u32): u32 { return ((i & 3) << 1) | (i >> 2); }

function storeBf16(k: usize, v: usize, block: usize, cell: u32, headDim: u32, both: boolean): void {
  let key = block + <usize>((cell >> 3) * headDim << 4) + (place(cell & 7) << 1), value = block + (<usize>headDim << 6) + (cell << 4);
  for (const end = k + (<usize>headDim << 2); k < end; k += 32, v += 32) {
    const low = narrow4(v128.load(k)), high = narrow4(v128.load(k, 16));
    v128.store_lane<u16>(key, low, 0); v128.store_lane<u16>(key, low, 2, 16); v128.store_lane<u16>(key, low, 4, 32); v128.store_lane<u16>(key, low, 6, 48);
    v128.store_lane<u16>(key, high, 0, 64); v128.store_lane<u16>(key, high, 2, 80); v128.store_lane<u16>(key, high, 4, 96); v128.store_lane<u16>(key, high, 6, 112);
    if (both) v128.store(value, v128.or(narrow4(v128.load(v)), i32x4.shl(narrow4(v128.load(v, 16)), 16)));
    key += 128;
    value += 512;
  }
}

function storeF32(k: usize, v: usize, block: usize, cell: u32, headDim: u32, both: boolean): void {
  let key = block + <usize>((cell >> 3) * headDim << 5) + ((cell & 7) << 2), value = block + (<usize>headDim << 7) + (cell << 5);
  for (const end = k + (<usize>headDim << 2); k < end; k += 32, v += 32) {
    const low = v128.load(k), high = v128.load(k, 16);
    v128.store_lane<u32>(key, low, 0); v128.store_lane<u32>(key, low, 1, 32); v128.store_lane<u32>(key, low, 2, 64); v128.store_lane<u32>(key, low, 3, 96);
    v128.store_lane<u32>(key, high, 0, 128); v128.store_lane<u32>(key, high, 1, 160); v128.store_lane<u32>(key, high, 2, 192); v128.store_lane<u32>(key, high, 3, 224);
    if (both) {
      v128.store(value, v128.load(v));
      v128.store(value, v128.load(v, 16), 16);
    }
    key += 256;
    value += 1024;
  }
}

/** Largest size of a row's values ÷ 127; NaN or infinite where a value is, so that whoever sees the cell gets NaN. */
function scaleOf(x: usize, headDim: u32): f32 {
  let most = f32x4.splat(0);
  for (const end = x + (<usize>headDim << 2); x < end; x += 16) most = f32x4.max(most, f32x4.abs(v128.load(x)));
  return max(max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)), max(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3))) / 127;
}

/** Eight codes in the low half, half to even. */
// @ts-ignore: decorator
@inline
function codes8(x: usize, divisor: v128): v128 {
  const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(x), divisor)));
  const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(x, 16), divisor)));
  const both = i16x8.narrow_i32x4_s(low, high);
  return i8x16.narrow_i16x8_s(both, both);
}

function storeInt8(k: usize, v: usize, block: usize, cell: u32, headDim: u32, both: boolean): void {
  let key = block + <usize>((cell >> 3) * headDim << 3) + (cell & 7), value = block + (<usize>headDim << 5) + (cell << 3);
  const keyScale = scaleOf(k, headDim), valueScale = scaleOf(v, headDim), scales = block + (<usize>headDim << (both ? 6 : 5)) + (cell << 2);
  store<f32>(scales, keyScale);
  if (both) store<f32>(scales, valueScale, 128);
  const keyDivisor = f32x4.splat(keyScale == 0 ? 1 : keyScale), valueDivisor = f32x4.splat(valueScale == 0 ? 1 : valueScale);
  for (const end = k + (<usize>headDim << 2); k < end; k += 32, v += 32) {
    const codes = codes8(k, keyDivisor);
    v128.store_lane<u8>(key, codes, 0); v128.store_lane<u8>(key, codes, 1, 8); v128.store_lane<u8>(key, codes, 2, 16); v128.store_lane<u8>(key, codes, 3, 24);
    v128.store_lane<u8>(key, codes, 4, 32); v128.store_lane<u8>(key, codes, 5, 40); v128.store_lane<u8>(key, codes, 6, 48); v128.store_lane<u8>(key, codes, 7, 56);
    if (both) v128.store_lane<u64>(value, codes8(v, valueDivisor), 0);
    key += 64;
    value += 256;
  }
}

export function storeKv(
  kvType: i32, k: usize, v: usize, stride: u32, layerBase: usize, pageStride: u32, pages: usize, position: u32, tokens: u32, kvHeads: u32, headDim: u32,
): void {
  const both = v != 0, blockBytes = headBlockBytes(kvType, headDim, !both), headBytes: usize = <usize>headDim << 2, rowBytes: usize = <usize>stride << 2;
  if (!both) v = k; // read beside the keys, and written nowhere
  for (let t: u32 = 0; t < tokens; t++) {
    const cell = (position + t) & (PAGE - 1);
    let block: usize = layerBase + <usize>load<u32>(pages + (<usize>((position + t) / PAGE) << 2)) * pageStride;
    let key = k + <usize>t * rowBytes, value = v + <usize>t * rowBytes;
    for (let h: u32 = 0; h < kvHeads; h++) {
      if (kvType == KV_F32) storeF32(key, value, block, cell, headDim, both);
      else if (kvType == KV_INT8) storeInt8(key, value, block, cell, headDim, both);
      else storeBf16(key, value, block, cell, headDim, both);
      key += headBytes;
      value += headBytes;
      block += blockBytes;
    }
  }
}
