// Where a cell's key is its value too, a page holds keys alone (kv-pages.ts). Before its values are summed up the page is turned into the order of
// values, in the nearest cache: all query heads that visit it then share that, and read it from front to back as they read any values.
import { KV_BF16, KV_F32, PAGE } from './kv-pages';

/** Eight elements of eight cells, keys [8][8] at `from` → values, a row of eight elements every 16 bytes. */
function turnBf16(from: usize, to: usize): void {
  const r0 = v128.load(from), r1 = v128.load(from, 64), r2 = v128.load(from, 16), r3 = v128.load(from, 80);
  const r4 = v128.load(from, 32), r5 = v128.load(from, 96), r6 = v128.load(from, 48), r7 = v128.load(from, 112);
  const a0 = v128.shuffle<i16>(r0, r1, 0, 8, 1, 9, 2, 10, 3, 11), a1 = v128.shuffle<i16>(r0, r1, 4, 12, 5, 13, 6, 14, 7, 15);
  const a2 = v128.shuffle<i16>(r2, r3, 0, 8, 1, 9, 2, 10, 3, 11), a3 = v128.shuffle<i16>(r2, r3, 4, 12, 5, 13, 6, 14, 7, 15);
  const a4 = v128.shuffle<i16>(r4, r5, 0, 8, 1, 9, 2, 10, 3, 11), a5 = v128.shuffle<i16>(r4, r5, 4, 12, 5, 13, 6, 14, 7, 15);
  const a6 = v128.shuffle<i16>(r6, r7, 0, 8, 1, 9, 2, 10, 3, 11), a7 = v128.shuffle<i16>(r6, r7, 4, 12, 5, 13, 6, 14, 7, 15);
  const b0 = v128.shuffle<i32>(a0, a2, 0, 4, 1, 5), b1 = v128.shuffle<i32>(a0, a2, 2, 6, 3, 7);
  const b2 = v128.shuffle<i32>(a1, a3, 0, 4, 1, 5), b3 = v128.shuffle<i32>(a1, a3, 2, 6, 3, 7);
  const b4 = v128.shuffle<i32>(a4, a6, 0, 4, 1, 5), b5 = v128.shuffle<i32>(a4, a6, 2, 6, 3, 7);
  const b6 = v128.shuffle<i32>(a5, a7, 0, 4, 1, 5), b7 = v128.shuffle<i32>(a5, a7, 2, 6, 3, 7);
  // cells come in the order of their places: 0 4 1 5 2 6 3 7
  v128.store(to, v128.shuffle<i64>(b0, b4, 0, 2)); v128.store(to, v128.shuffle<i64>(b0, b4, 1, 3), 64);
  v128.store(to, v128.shuffle<i64>(b1, b5, 0, 2), 16); v128.store(to, v128.shuffle<i64>(b1, b5, 1, 3), 80);
  v128.store(to, v128.shuffle<i64>(b2, b6, 0, 2), 32); v128.store(to, v128.shuffle<i64>(b2, b6, 1, 3), 96);
  v128.store(to, v128.shuffle<i64>(b3, b7, 0, 2), 48); v128.store(to, v128.shuffle<i64>(b3, b7, 1, 3), 112);
}

/** The same for values of another size, which lie in their own order. */
// @ts-ignore: decorator
@inline
function turnPlain<T>(from: usize, to: usize): void {
  for (let i: usize = 0; i < 8; i++)
    for (let cell: usize = 0; cell < 8; cell++) store<T>(to + (cell * 8 + i) * sizeof<T>(), load<T>(from + (i * 8 + cell) * sizeof<T>()));
}

/** Keys [4][headDim][8] of a page → values [headDim/8][32][8]. */
export function turnAny(kvType: i32, keys: usize, headDim: u32, values: usize): void {
  const width: usize = kvType == KV_F32 ? 4 : kvType == KV_BF16 ? 2 : 1;
  for (let eight: usize = 0; eight < PAGE / 8; eight++) {
    let to = values + eight * 64 * width;
    for (const end = keys + (<usize>headDim << 3) * width; keys < end; keys += 64 * width, to += 8 * PAGE * width) {
      if (kvType == KV_BF16) turnBf16(keys, to);
      else if (kvType == KV_F32) turnPlain<f32>(keys, to);
      else turnPlain<u8>(keys, to);
    }
  }
}
