// Quantised weights × integer activations: y = Σ over blocks of scale·activation scale·dot + bias·activation sum. Types: integer-dots.ts.
import { load4, storeTokens, sum4 } from './numbers';
import { chunkBytes, dotBlock, finish4, highsOf, lower, maskOf, meet, onesOf, upper, valueBytes } from './integer-dots';
import { rowScales } from './row-scales';
import { biasesAt, blockRoom, bytesAt, rowsAtOnce, S_E8M0, scaleBytes } from './layout';
import { dotKind, NARROW, SIGNED } from './cpu';
import { splitRow, unpackRow } from './unpack';

/** Bytes ahead that a row read once is touched, so that memory answers while this part is computed. */
const AHEAD: usize = 1024;

/**
 * One row of codes meets one token. Four blocks a turn, their dots in four lanes, as their scales are, in format S at s and b. Lanes of the result
 * are still to be added up.
 */
// @ts-ignore: decorator
@inline
function oneToken<W, A, G, S>(w: usize, x: usize, s: usize, b: usize, xs: usize, toSums: usize, blocks: u32, reach: usize): v128 {
  const chunks: usize = sizeof<G>() == 8 ? 2 : 1, wb = chunkBytes<W, G>() * chunks, vb = valueBytes<A, G>() * chunks;
  const mask = maskOf(), ones = onesOf(), highs = highsOf();
  let acc = f32x4.splat(0);
  for (let left = blocks >> 2; left > 0; left--) {
    if (sizeof<W>() == 1 && sizeof<A>() < 4) {
      load<u8>(w + reach);
      if (sizeof<G>() == 8) load<u8>(w + reach, 64);
    }
    const dots = finish4<W, A, G>(
      dotBlock<W, A, G>(w, x, mask, ones, highs), dotBlock<W, A, G>(w + wb, x + vb, mask, ones, highs),
      dotBlock<W, A, G>(w + 2 * wb, x + 2 * vb, mask, ones, highs), dotBlock<W, A, G>(w + 3 * wb, x + 3 * vb, mask, ones, highs), ones,
    );
    acc = f32x4.relaxed_madd(load4<S>(b), v128.load(xs + toSums), acc);
    acc = f32x4.relaxed_madd(dots, f32x4.mul(load4<S>(s), v128.load(xs)), acc);
    w += 4 * wb;
    x += 4 * vb;
    s += 4 * sizeof<S>();
    b += 4 * sizeof<S>();
    xs += 16;
  }
  const rest = blocks & 3;
  if (rest) {
    const first = dotBlock<W, A, G>(w, x, mask, ones, highs);
    let second = i32x4.splat(0), third = second;
    if (rest > 1) second = dotBlock<W, A, G>(w + wb, x + vb, mask, ones, highs);
    if (rest > 2) third = dotBlock<W, A, G>(w + 2 * wb, x + 2 * vb, mask, ones, highs);
    const own = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(rest)); // what lies behind the last scales may be anything
    acc = f32x4.relaxed_madd(v128.and(own, load4<S>(b)), v128.load(xs + toSums), acc);
    acc = f32x4.relaxed_madd(finish4<W, A, G>(first, second, third, i32x4.splat(0), ones), f32x4.mul(v128.and(own, load4<S>(s)), v128.load(xs)), acc);
  }
  return acc;
}

/** Packed codes and one token, where a group is a block: scales are read as they come, one stream beside that of the codes. */
export function oneTokenRows<A, G, S>(w: usize, sc: usize, bi: usize, x: usize, y: usize, r0: usize, r1: usize, k: u32): void {
  const blocks: u32 = k / (<u32>sizeof<G>() * 8), wrow: usize = k >> 1, srow: usize = blocks * <u32>sizeof<S>(), end = w + r1 * wrow;
  const xs = x + ((k * (sizeof<A>() >= 4 ? 2 : 1) + 15) & ~15), toSums: usize = ((blocks + 3) & ~3) << 2;
  for (let r = r0; r < r1; r++) {
    const row = w + r * wrow;
    f32.store(y + (r << 2), sum4(oneToken<u8, A, G, S>(row, x, sc + r * srow, bi + r * srow, xs, toSums, blocks, min(AHEAD, end - row - wrow))));
  }
}

/** Two tokens: the dots of two blocks fill the lanes. */
// @ts-ignore: decorator
@inline
function twoTokens<W, A, G>(w: usize, x: usize, room: usize, s: usize, b: usize, xs: usize, toSums: usize, blocks: u32, reach: usize): void {
  const chunks: usize = sizeof<G>() == 8 ? 2 : 1, chunk = chunkBytes<W, G>(), value = valueBytes<A, G>() * chunks, step: usize = 2 * value;
  const mask = maskOf(), ones = onesOf(), highs = highsOf();
  let acc = v128.load(room);
  for (let left = <i32>blocks; left > 0; left -= 2) {
    if (sizeof<W>() == 1 && sizeof<A>() < 4) load<u8>(w + reach);
    const scale = v128.load64_zero(s), bias = v128.load64_zero(b);
    acc = f32x4.relaxed_madd(v128.shuffle<f32>(bias, bias, 0, 0, 1, 1), v128.load(xs + toSums), acc);
    let u = v128.load(w), n0 = lower<W>(u, mask), n1 = sizeof<G>() == 2 ? n0 : upper<W>(w, u, mask);
    let v = sizeof<G>() == 8 ? v128.load(w + chunk) : u, n2 = lower<W>(v, mask), n3 = sizeof<G>() == 2 ? n0 : upper<W>(w + chunk, v, mask);
    const c0 = meet<W, A, G>(n0, n1, n2, n3, x, ones, highs), c1 = meet<W, A, G>(n0, n1, n2, n3, x + value, ones, highs);
    let d0 = i32x4.splat(0), d1 = d0;
    if (left > 1) {
      const z = w + chunk * chunks;
      u = v128.load(z); n0 = lower<W>(u, mask); n1 = sizeof<G>() == 2 ? n0 : upper<W>(z, u, mask);
      v = sizeof<G>() == 8 ? v128.load(z + chunk) : u; n2 = lower<W>(v, mask); n3 = sizeof<G>() == 2 ? n0 : upper<W>(z + chunk, v, mask);
      d0 = meet<W, A, G>(n0, n1, n2, n3, x + step, ones, highs); d1 = meet<W, A, G>(n0, n1, n2, n3, x + step + value, ones, highs);
    }
    acc = f32x4.relaxed_madd(finish4<W, A, G>(c0, c1, d0, d1, ones), f32x4.mul(v128.shuffle<f32>(scale, scale, 0, 0, 1, 1), v128.load(xs)), acc);
    w += 2 * chunk * chunks;
    x += 2 * step;
    s += 8;
    b += 8;
    xs += 16;
  }
  v128.store(room, acc);
}

/** Four or eight tokens, in lanes: a block is unpacked once for all. */
// @ts-ignore: decorator
@inline
function manyTokens<W, A, G, T>(w: usize, x: usize, room: usize, s: usize, b: usize, xs: usize, toSums: usize, blocks: u32): void {
  const chunks: usize = sizeof<G>() == 8 ? 2 : 1, chunk = chunkBytes<W, G>(), value = valueBytes<A, G>() * chunks;
  const mask = maskOf(), ones = onesOf(), highs = highsOf();
  let low = v128.load(room), high = v128.load(room, 16);
  for (let left = blocks; left > 0; left--) {
    const u = v128.load(w), n0 = lower<W>(u, mask), n1 = sizeof<G>() == 2 ? n0 : upper<W>(w, u, mask);
    const v = sizeof<G>() == 8 ? v128.load(w + chunk) : u, n2 = lower<W>(v, mask), n3 = sizeof<G>() == 2 ? n0 : upper<W>(w + chunk, v, mask);
    const scale = v128.load32_splat(s), bias = v128.load32_splat(b);
    low = f32x4.relaxed_madd(bias, v128.load(xs + toSums), low);
    const p0 = meet<W, A, G>(n0, n1, n2, n3, x, ones, highs), p1 = meet<W, A, G>(n0, n1, n2, n3, x + value, ones, highs);
    const p2 = meet<W, A, G>(n0, n1, n2, n3, x + 2 * value, ones, highs), p3 = meet<W, A, G>(n0, n1, n2, n3, x + 3 * value, ones, highs);
    low = f32x4.relaxed_madd(finish4<W, A, G>(p0, p1, p2, p3, ones), f32x4.mul(scale, v128.load(xs)), low);
    if (sizeof<T>() == 8) {
      high = f32x4.relaxed_madd(bias, v128.load(xs + toSums, 16), high);
      const p4 = meet<W, A, G>(n0, n1, n2, n3, x + 4 * value, ones, highs), p5 = meet<W, A, G>(n0, n1, n2, n3, x + 5 * value, ones, highs);
      const p6 = meet<W, A, G>(n0, n1, n2, n3, x + 6 * value, ones, highs), p7 = meet<W, A, G>(n0, n1, n2, n3, x + 7 * value, ones, highs);
      high = f32x4.relaxed_madd(finish4<W, A, G>(p4, p5, p6, p7, ones), f32x4.mul(scale, v128.load(xs, 16)), high);
    }
    w += chunk * chunks;
    x += sizeof<T>() * value;
    s += 4;
    b += 4;
    xs += 4 * sizeof<T>();
  }
  v128.store(room, low);
  if (sizeof<T>() == 8) v128.store(room, high, 16);
}

/** A tile of T tokens, `full` of them real, rows r0 ≤ r < r1; yStride in bytes. `room`: see layout.ts. */
export function tileRows<W, A, G, T>(
  bits: u32, group: u32, scaleType: i32, w: usize, sc: usize, bi: usize, x: usize, room: usize, y: usize, yStride: usize, full: i32, r0: usize, r1: usize, k: u32,
): void {
  const blocks: u32 = k / (<u32>sizeof<G>() * 8), groups = k / group;
  const wrow: usize = (k * bits) >> 3;
  const xs = x + ((sizeof<T>() * k * (sizeof<A>() >= 4 ? 2 : 1) + 15) & ~15), toSums = 4 * sizeof<T>() * blockRoom(group, k);
  const bytes = room + bytesAt(group, k), end = w + r1 * wrow;
  // Codes of 8 bits do not fit the second operand's 7. Where the CPU takes it as unsigned they are used in place; where as signed, less 128,
  // which the bias gives back; elsewhere the row is split into two of 4 bits.
  const eight = sizeof<W>() == 2 && bits == 8, planes = eight && dotKind() == NARROW, less = eight && dotKind() == SIGNED;
  const scales = room + 32, toBiases = biasesAt(group, k), atOnce = rowsAtOnce(blocks), twice = group == 128, srow: usize = groups * scaleBytes(scaleType);
  for (let from = r0; from < r1; from += atOnce) {
    const to = min(from + atOnce, r1);
    rowScales(scaleType, sc + from * srow, bi + from * srow, scales, scales + toBiases, <u32>(to - from) * groups, twice, less ? 128 : 0);
    for (let r = from, s = scales; r < to; r++, s += blocks << 2) {
      const row = w + r * wrow;
      let codes = row;
      if (sizeof<W>() == 2) {
        if (!eight) { unpackRow(bits, scaleType >= S_E8M0, sizeof<G>() > 2, row, bytes, k); codes = bytes; }
        else if (planes || less) { splitRow(planes, row, bytes, k); codes = bytes; }
      }
      v128.store(room, f32x4.splat(0));
      v128.store(room, f32x4.splat(0), 16);
      for (let second = false; ; second = true) {
        if (sizeof<T>() == 1) v128.store(room, f32x4.add(v128.load(room), oneToken<W, A, G, f32>(codes, x, s, s + toBiases, xs, toSums, blocks, min(AHEAD, end - row - wrow))));
        else if (sizeof<T>() == 2) twoTokens<W, A, G>(codes, x, room, s, s + toBiases, xs, toSums, blocks, min(AHEAD, end - row - wrow));
        else manyTokens<W, A, G, T>(codes, x, room, s, s + toBiases, xs, toSums, blocks);
        if (sizeof<W>() == 1 || !planes || second) break;
        upperScales(s, s + toBiases, blocks);
        codes = bytes + k;
      }
      const out = y + (r << 2), sums = v128.load(room);
      if (sizeof<T>() == 1) f32.store(out, sum4(sums));
      else if (sizeof<T>() == 2) storeTokens(out, yStride, f32x4.add(sums, v128.shuffle<f32>(sums, sums, 2, 3, 0, 1)), 2);
      else {
        storeTokens(out, yStride, sums, full);
        if (sizeof<T>() == 8) storeTokens(out + 4 * yStride, yStride, v128.load(room, 16), full - 4);
      }
    }
  }
}

/** A row's upper halves count sixteen times, and have no bias. */
function upperScales(s: usize, b: usize, blocks: u32): void {
  for (const end = s + (blocks << 2); s < end; s += 4, b += 4) {
    f32.store(s, load<f32>(s) * 16);
    f32.store(b, 0);
  }
}
