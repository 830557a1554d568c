// Attention over paged BF16 keys and values. Rows are (token, query head) pairs that share a kv head: up to four of them share one pass over
// a page. A 16-byte load holds eight BF16; `<< 16` makes f32 of the even ones, `& 0xffff0000` of the odd ones, so scores of eight cells lie as
// 0 2 4 6 1 3 5 7, and so do eight dimensions of a value until the end.
import { exp4 } from './numbers';

/** Cells in a page. */
const PAGE: u32 = 32;

// @ts-ignore: decorator
@inline
function evens(v: v128): v128 { return i32x4.shl(v, 16); }
// @ts-ignore: decorator
@inline
function odds(v: v128): v128 { return v128.and(v, i32x4.splat(<i32>0xffff0000)); }

/** Place of a cell among the 32 scores of its page. */
// @ts-ignore: decorator
@inline
function place(cell: u32): u32 { return (cell & 24) | ((cell & 1) << 2) | ((cell & 7) >> 1); }

/** BF16 of four values as i32 lanes, half to even; NaN stays NaN. */
// @ts-ignore: decorator
@inline
function narrow4(v: v128): v128 {
  const rounded = i32x4.add(v, i32x4.add(i32x4.splat(0x7fff), v128.and(i32x4.shr_u(v, 16), i32x4.splat(1))));
  return i32x4.shr_u(v128.bitselect(rounded, v128.or(v, i32x4.splat(0x400000)), f32x4.eq(v, v)), 16);
}

export function storeKv(k: usize, v: usize, stride: u32, layerBase: usize, pageStride: u32, pages: usize, position: u32, tokens: u32, kvHeads: u32, headDim: u32): void {
  for (let t: u32 = 0; t < tokens; t++) {
    const cell = (position + t) & (PAGE - 1);
    let block: usize = layerBase + <usize>load<u32>(pages + (<usize>((position + t) / PAGE) << 2)) * pageStride;
    let from: usize = 0;
    for (let h: u32 = 0; h < kvHeads; h++) {
      let key = block + (cell << 1), value = block + <usize>((PAGE + cell) * headDim << 1);
      for (let i: u32 = 0; i < headDim; i += 4) {
        const keys = narrow4(v128.load(k + from));
        v128.store_lane<u16>(key, keys, 0);
        v128.store_lane<u16>(key, keys, 2, 64);
        v128.store_lane<u16>(key, keys, 4, 128);
        v128.store_lane<u16>(key, keys, 6, 192);
        const values = narrow4(v128.load(v + from));
        v128.store_lane<u64>(value, i16x8.narrow_i32x4_u(values, values), 0);
        key += 256;
        value += 8;
        from += 16;
      }
      block += <usize>(headDim << 7);
    }
    k += <usize>stride << 2;
    v += <usize>stride << 2;
  }
}

/** Scores of R rows (queries at q0 … q3) and eight cells, unscaled. */
// @ts-ignore: decorator
@inline
function eightScores(R: i32, key: usize, headDim: u32, q0: usize, q1: usize, q2: usize, q3: usize, to: usize, row: usize, scales: v128): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
  for (const end = key + (<usize>headDim << 6); key < end; key += 64) {
    const v = v128.load(key), e = evens(v), o = odds(v);
    const x0 = v128.load_splat<f32>(q0);
    a0 = f32x4.relaxed_madd(x0, e, a0);
    b0 = f32x4.relaxed_madd(x0, o, b0);
    if (R > 1) {
      const x1 = v128.load_splat<f32>(q1);
      a1 = f32x4.relaxed_madd(x1, e, a1);
      b1 = f32x4.relaxed_madd(x1, o, b1);
    }
    if (R > 2) {
      const x2 = v128.load_splat<f32>(q2);
      a2 = f32x4.relaxed_madd(x2, e, a2);
      b2 = f32x4.relaxed_madd(x2, o, b2);
    }
    if (R > 3) {
      const x3 = v128.load_splat<f32>(q3);
      a3 = f32x4.relaxed_madd(x3, e, a3);
      b3 = f32x4.relaxed_madd(x3, o, b3);
    }
    q0 += 4; q1 += 4; q2 += 4; q3 += 4;
  }
  v128.store(to, f32x4.mul(a0, scales));
  v128.store(to, f32x4.mul(b0, scales), 16);
  if (R > 1) { v128.store(to + row, f32x4.mul(a1, scales)); v128.store(to + row, f32x4.mul(b1, scales), 16); }
  if (R > 2) { v128.store(to + 2 * row, f32x4.mul(a2, scales)); v128.store(to + 2 * row, f32x4.mul(b2, scales), 16); }
  if (R > 3) { v128.store(to + 3 * row, f32x4.mul(a3, scales)); v128.store(to + 3 * row, f32x4.mul(b3, scales), 16); }
}

/** One row and all 32 cells of a page: eight sums in registers. */
// @ts-ignore: decorator
@inline
function pageScores(key: usize, headDim: u32, q: usize, to: usize, scales: v128): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
  for (const end = key + (<usize>headDim << 6); key < end; key += 64) {
    const x = v128.load_splat<f32>(q);
    const v0 = v128.load(key), v1 = v128.load(key, 16), v2 = v128.load(key, 32), v3 = v128.load(key, 48);
    a0 = f32x4.relaxed_madd(x, evens(v0), a0);
    b0 = f32x4.relaxed_madd(x, odds(v0), b0);
    a1 = f32x4.relaxed_madd(x, evens(v1), a1);
    b1 = f32x4.relaxed_madd(x, odds(v1), b1);
    a2 = f32x4.relaxed_madd(x, evens(v2), a2);
    b2 = f32x4.relaxed_madd(x, odds(v2), b2);
    a3 = f32x4.relaxed_madd(x, evens(v3), a3);
    b3 = f32x4.relaxed_madd(x, odds(v3), b3);
    q += 4;
  }
  v128.store(to, f32x4.mul(a0, scales));
  v128.store(to, f32x4.mul(b0, scales), 16);
  v128.store(to, f32x4.mul(a1, scales), 32);
  v128.store(to, f32x4.mul(b1, scales), 48);
  v128.store(to, f32x4.mul(a2, scales), 64);
  v128.store(to, f32x4.mul(b2, scales), 80);
  v128.store(to, f32x4.mul(a3, scales), 96);
  v128.store(to, f32x4.mul(b3, scales), 112);
}

/** Adds R rows' weights (at p, `row` bytes apart) times the values of cells [from, to) of a page to the sums at out ([R, headDim], permuted). */
// @ts-ignore: decorator
@inline
function addValues(R: i32, value: usize, headDim: u32, from: u32, to: u32, p: usize, row: usize, out: usize): void {
  const step: usize = <usize>headDim << 1, outRow: usize = <usize>headDim << 2;
  for (let d: u32 = 0; d < headDim; d += 8) {
    let a0 = v128.load(out), b0 = v128.load(out, 16), a1 = a0, b1 = b0, a2 = a0, b2 = b0, a3 = a0, b3 = b0;
    if (R > 1) { a1 = v128.load(out + outRow); b1 = v128.load(out + outRow, 16); }
    if (R > 2) { a2 = v128.load(out + 2 * outRow); b2 = v128.load(out + 2 * outRow, 16); }
    if (R > 3) { a3 = v128.load(out + 3 * outRow); b3 = v128.load(out + 3 * outRow, 16); }
    let at = value + <usize>from * step;
    for (let cell = from; cell < to; cell++) {
      const v = v128.load(at), e = evens(v), o = odds(v), w = p + (place(cell) << 2);
      const w0 = v128.load_splat<f32>(w);
      a0 = f32x4.relaxed_madd(w0, e, a0);
      b0 = f32x4.relaxed_madd(w0, o, b0);
      if (R > 1) {
        const w1 = v128.load_splat<f32>(w + row);
        a1 = f32x4.relaxed_madd(w1, e, a1);
        b1 = f32x4.relaxed_madd(w1, o, b1);
      }
      if (R > 2) {
        const w2 = v128.load_splat<f32>(w + 2 * row);
        a2 = f32x4.relaxed_madd(w2, e, a2);
        b2 = f32x4.relaxed_madd(w2, o, b2);
      }
      if (R > 3) {
        const w3 = v128.load_splat<f32>(w + 3 * row);
        a3 = f32x4.relaxed_madd(w3, e, a3);
        b3 = f32x4.relaxed_madd(w3, o, b3);
      }
      at += step;
    }
    v128.store(out, a0);
    v128.store(out, b0, 16);
    if (R > 1) { v128.store(out + outRow, a1); v128.store(out + outRow, b1, 16); }
    if (R > 2) { v128.store(out + 2 * outRow, a2); v128.store(out + 2 * outRow, b2, 16); }
    if (R > 3) { v128.store(out + 3 * outRow, a3); v128.store(out + 3 * outRow, b3, 16); }
    out += 32;
    value += 16;
  }
}

/** tanh: a polynomial near 0, where 1 − 2 / (e^2x + 1) would lose its digits. */
// @ts-ignore: decorator
@inline
function tanh4(x: v128): v128 {
  const size = f32x4.abs(x), z = f32x4.mul(x, x);
  let p = f32x4.splat(-5.70498872745e-3);
  p = f32x4.relaxed_madd(p, z, f32x4.splat(2.06390887954e-2));
  p = f32x4.relaxed_madd(p, z, f32x4.splat(-5.37397155531e-2));
  p = f32x4.relaxed_madd(p, z, f32x4.splat(1.33314422036e-1));
  p = f32x4.relaxed_madd(p, z, f32x4.splat(-3.33332819422e-1));
  const near = f32x4.relaxed_madd(f32x4.mul(p, z), x, x);
  const e = exp4(f32x4.mul(size, f32x4.splat(-2)));
  const far = f32x4.div(f32x4.sub(f32x4.splat(1), e), f32x4.add(f32x4.splat(1), e));
  const signed = v128.or(far, v128.and(x, i32x4.splat(<i32>0x80000000)));
  return v128.bitselect(near, signed, f32x4.lt(size, f32x4.splat(0.625)));
}

function capScores(p: usize, end: usize, softCap: f32): void {
  const cap = f32x4.splat(softCap), inverse = f32x4.splat(1 / softCap);
  for (; p < end; p += 16) v128.store(p, f32x4.mul(cap, tanh4(f32x4.mul(v128.load(p), inverse))));
}

/** Scores at p … end become e^(score − max), those outside the cells [first, last] 0; returns 1 / sum. Cell 0 lies at p. */
function softmax(p: usize, end: usize, first: u32, last: u32): f32 {
  for (let cell: u32 = 0; cell < first; cell++) store<f32>(p + (<usize>((cell & ~31) | place(cell & 31)) << 2), -Infinity);
  const cells = <u32>(end - p) >> 2;
  for (let cell = last + 1; cell < cells; cell++) store<f32>(p + (<usize>((cell & ~31) | place(cell & 31)) << 2), -Infinity);
  let most = f32x4.splat(-Infinity);
  for (let at = p; at < end; at += 16) most = f32x4.pmax(most, v128.load(at));
  const top: f32 = max(max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)), max(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)));
  const tops = f32x4.splat(top);
  let a = f32x4.splat(0), b = f32x4.splat(0);
  for (let at = p; at < end; at += 32) {
    const u = exp4(f32x4.sub(v128.load(at), tops)), v = exp4(f32x4.sub(v128.load(at, 16), tops));
    v128.store(at, u);
    v128.store(at, v, 16);
    a = f32x4.add(a, u);
    b = f32x4.add(b, v);
  }
  a = f32x4.add(a, b);
  return 1 / (f32x4.extract_lane(a, 0) + f32x4.extract_lane(a, 1) + (f32x4.extract_lane(a, 2) + f32x4.extract_lane(a, 3)));
}

export function attendScratchBytes(tokens: u32, qHeads: u32, headDim: u32, contextTokens: u32): u32 {
  return 4 * ((((contextTokens + 2 * PAGE - 1) / PAGE) * PAGE) << 2) + ((4 * headDim) << 2);
}

// @ts-ignore: decorator
@inline
function firstCell(last: u32, window: u32): u32 { return window == 0 || last + 1 < window ? 0 : last + 1 - window; }

export function attend(
  q: usize, qStride: u32, out: usize, outStride: u32, layerBase: usize, pageStride: u32, pages: usize, position: u32, tokens: u32,
  qHeads: u32, headToKv: usize, kvHeads: u32, headDim: u32, scale: f32, window: u32, softCap: f32, scratch: usize,
): void {
  const scales = f32x4.splat(scale), headBytes: usize = <usize>headDim << 2, blockBytes: usize = <usize>headDim << 7, keyBytes: usize = <usize>headDim << 6;
  for (let head: u32 = 0; head < qHeads; ) {
    const kv = load<u32>(headToKv + (<usize>head << 2));
    let group: u32 = 1;
    while (head + group < qHeads && load<u32>(headToKv + (<usize>(head + group) << 2)) == kv) group++;
    const rows = group * tokens;
    for (let from: u32 = 0; from < rows; from += 4) {
      const R = min<u32>(4, rows - from);
      const t0 = from / group, t3 = (from + R - 1) / group;
      const firstPage = firstCell(position + t0, window) / PAGE, endPage = (position + t3) / PAGE + 1;
      const row: usize = <usize>((endPage - firstPage) * PAGE) << 2, sums = scratch, scores = scratch + 4 * headBytes;
      // A missing row repeats the last one; its results are not used.
      const r1 = from + min<u32>(1, R - 1), r2 = from + min<u32>(2, R - 1), r3 = from + min<u32>(3, R - 1);
      const q0 = q + (<usize>(t0 * qStride + (head + from % group) * headDim) << 2);
      const q1 = q + (<usize>(r1 / group * qStride + (head + r1 % group) * headDim) << 2);
      const q2 = q + (<usize>(r2 / group * qStride + (head + r2 % group) * headDim) << 2);
      const q3 = q + (<usize>(r3 / group * qStride + (head + r3 % group) * headDim) << 2);
      let to = scores;
      for (let page = firstPage; page < endPage; page++) {
        let key: usize = layerBase + <usize>load<u32>(pages + (<usize>page << 2)) * pageStride + <usize>kv * blockBytes;
        if (R == 1) {
          pageScores(key, headDim, q0, to, scales);
          to += 128;
        } else {
          for (let i = 0; i < 4; i++) {
            if (R == 2) eightScores(2, key, headDim, q0, q1, q1, q1, to, row, scales);
            else if (R == 3) eightScores(3, key, headDim, q0, q1, q2, q2, to, row, scales);
            else eightScores(4, key, headDim, q0, q1, q2, q3, to, row, scales);
            key += 16;
            to += 32;
          }
        }
      }
      const base = firstPage * PAGE;
      let end = scores;
      for (let i: u32 = 0; i < R; i++) {
        const last = position + (from + i) / group;
        if (softCap > 0) capScores(end, end + row, softCap);
        const inverse = softmax(end, end + row, firstCell(last, window) - base, last - base);
        store<f32>(out + (<usize>((from + i) / group * outStride + (head + (from + i) % group) * headDim) << 2), inverse); // kept there until the sums are done
        end += row;
      }
      memory.fill(sums, 0, <usize>R * headBytes);
      to = scores;
      const begin = firstCell(position + t0, window), final = position + t3;
      for (let page = firstPage; page < endPage; page++) {
        const value: usize = layerBase + <usize>load<u32>(pages + (<usize>page << 2)) * pageStride + <usize>kv * blockBytes + keyBytes;
        const low = page == firstPage ? begin & 31 : 0, high = page == endPage - 1 ? (final & 31) + 1 : PAGE;
        if (R == 4) addValues(4, value, headDim, low, high, to, row, sums);
        else if (R == 3) addValues(3, value, headDim, low, high, to, row, sums);
        else if (R == 2) addValues(2, value, headDim, low, high, to, row, sums);
        else addValues(1, value, headDim, low, high, to, row, sums);
        to += 128;
      }
      for (let i: u32 = 0; i < R; i++) {
        const result = out + (<usize>((from + i) / group * outStride + (head + (from + i) % group) * headDim) << 2);
        const inverse = f32x4.splat(load<f32>(result)), sum = sums + <usize>i * headBytes;
        for (let d: usize = 0; d < headBytes; d += 32) {
          const e = f32x4.mul(v128.load(sum + d), inverse), o = f32x4.mul(v128.load(sum + d, 16), inverse);
          v128.store(result + d, v128.shuffle<f32>(e, o, 0, 4, 1, 5));
          v128.store(result + d, v128.shuffle<f32>(e, o, 2, 6, 3, 7), 16);
        }
      }
    }
    head += group;
  }
}
