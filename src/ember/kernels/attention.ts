// Attention over the pages of kv-pages.ts. Rows are (token, query head) pairs that share a kv head; R = 1, 2 or 4 of them share one pass over a
// page, so that BF16 is widened once. R is the size of a type (u8, u16, u32). Scratch: queries [headDim][R], sums [headDim/4][R][4],
// 1/sum [4], scores [cells/4][R][4], which softmax turns into weights [cells][R].
import { PAGE } from './kv-pages';
import { exp4, heldInt, tanh4 } from './numbers';

// @ts-ignore: decorator
@inline
function low4(v: v128): v128 { return i32x4.shl(v, 16); }
// @ts-ignore: decorator
@inline
function high4(v: v128, mask: v128): v128 { return v128.and(v, mask); }
// @ts-ignore: decorator
@inline
function splatAt(p: usize): v128 { return v128.load_splat<f32>(p); }

/**
 * Adds up products of R broadcast values at x (+ 4R each step) with 8·L widened BF16 at v0, v1, … (+ 16 each step), `steps` times, into the
 * 2·R·L = 8 vectors at `to`, [2L][R]. Keys: steps = elements, x = queries. Values: steps = cells, x = weights. `fresh`: begin from 0.
 */
// @ts-ignore: decorator
@inline
function accumulate<R, L>(x: usize, v: usize, apart: usize, steps: u32, to: usize, fresh: boolean, mask: v128): void {
  let a: v128, b: v128, c: v128, d: v128, e: v128, f: v128, g: v128, h: v128;
  if (fresh) {
    a = i32x4.splat(0); b = a; c = a; d = a; e = a; f = a; g = a; h = a;
  } else {
    a = v128.load(to); b = v128.load(to, 16);
    if (sizeof<R>() * sizeof<L>() > 1) { c = v128.load(to, 32); d = v128.load(to, 48); } else { c = a; d = a; }
    if (sizeof<R>() * sizeof<L>() > 2) { e = v128.load(to, 64); f = v128.load(to, 80); g = v128.load(to, 96); h = v128.load(to, 112); } else { e = a; f = a; g = a; h = a; }
  }
  for (const end = v + (<usize>steps << 4); v < end; v += 16) {
    const w = v128.load(v), low = low4(w), high = high4(w, mask);
    const x0 = splatAt(x);
    if (sizeof<R>() == 4) {
      const x1 = splatAt(x + 4), x2 = splatAt(x + 8), x3 = splatAt(x + 12);
      a = f32x4.relaxed_madd(x0, low, a); b = f32x4.relaxed_madd(x1, low, b); c = f32x4.relaxed_madd(x2, low, c); d = f32x4.relaxed_madd(x3, low, d);
      e = f32x4.relaxed_madd(x0, high, e); f = f32x4.relaxed_madd(x1, high, f); g = f32x4.relaxed_madd(x2, high, g); h = f32x4.relaxed_madd(x3, high, h);
    } else if (sizeof<R>() == 2) {
      const x1 = splatAt(x + 4);
      a = f32x4.relaxed_madd(x0, low, a); b = f32x4.relaxed_madd(x1, low, b); c = f32x4.relaxed_madd(x0, high, c); d = f32x4.relaxed_madd(x1, high, d);
      if (sizeof<L>() == 2) {
        const w1 = v128.load(v + apart), low1 = low4(w1), high1 = high4(w1, mask);
        e = f32x4.relaxed_madd(x0, low1, e); f = f32x4.relaxed_madd(x1, low1, f); g = f32x4.relaxed_madd(x0, high1, g); h = f32x4.relaxed_madd(x1, high1, h);
      }
    } else {
      a = f32x4.relaxed_madd(x0, low, a); b = f32x4.relaxed_madd(x0, high, b);
      if (sizeof<L>() == 4) {
        const w1 = v128.load(v + apart), w2 = v128.load(v + 2 * apart), w3 = v128.load(v + 3 * apart);
        c = f32x4.relaxed_madd(x0, low4(w1), c); d = f32x4.relaxed_madd(x0, high4(w1, mask), d);
        e = f32x4.relaxed_madd(x0, low4(w2), e); f = f32x4.relaxed_madd(x0, high4(w2, mask), f);
        g = f32x4.relaxed_madd(x0, low4(w3), g); h = f32x4.relaxed_madd(x0, high4(w3, mask), h);
      }
    }
    x += 4 * sizeof<R>();
  }
  v128.store(to, a); v128.store(to, b, 16);
  if (sizeof<R>() * sizeof<L>() > 1) { v128.store(to, c, 32); v128.store(to, d, 48); }
  if (sizeof<R>() * sizeof<L>() > 2) { v128.store(to, e, 64); v128.store(to, f, 80); v128.store(to, g, 96); v128.store(to, h, 112); }
}

/**
 * Asks for all cache lines of a block at once. Blocks lie far apart: left to themselves, the loops would wait for memory line after line
 * (half as fast at depth 4,096). The result only keeps the loads alive.
 */
// @ts-ignore: decorator
@inline
function fetch(block: usize, lines: u32): u32 {
  let seen: u32 = 0;
  for (const end = block + (<usize>lines << 6); block < end; block += 512) {
    seen |= load<u32>(block) | load<u32>(block, 64) | load<u32>(block, 128) | load<u32>(block, 192);
    seen |= load<u32>(block, 256) | load<u32>(block, 320) | load<u32>(block, 384) | load<u32>(block, 448);
  }
  return seen;
}

/** Scores of a page: 4 / R eights of cells at a time. */
// @ts-ignore: decorator
@inline
function pageScores<R, L>(queries: usize, key: usize, headDim: u32, to: usize, mask: v128): void {
  const eight: usize = <usize>headDim << 4;
  for (const end = key + 4 * eight; key < end; key += sizeof<L>() * eight) {
    accumulate<R, L>(queries, key, eight, headDim, to, true, mask);
    to += 128;
  }
}

/** Adds the values of cells [from, to) of a page, by their weights, to the sums. */
// @ts-ignore: decorator
@inline
function pageValues<R, L>(weights: usize, value: usize, headDim: u32, from: u32, to: u32, sums: usize, mask: v128): void {
  for (let i: u32 = 0; i < headDim; i += 8 * <u32>sizeof<L>()) {
    accumulate<R, L>(weights, value + (from << 4), 512, to - from, sums, false, mask);
    value += 512 * sizeof<L>();
    sums += 32 * sizeof<R>() * sizeof<L>();
  }
}

function capScores(p: usize, end: usize, softCap: f32): void {
  const cap = f32x4.splat(softCap), inverse = f32x4.splat(1 / softCap);
  for (; p < end; p += 16) v128.store(p, f32x4.mul(cap, tanh4(f32x4.mul(v128.load(p), inverse))));
}

/** Hides the cells of row r outside [first, last] out of `cells`. */
function hide(p: usize, R: u32, r: u32, cells: u32, first: u32, last: u32): void {
  for (let cell: u32 = 0; cell < first; cell++) store<f32>(p + (<usize>(((cell >> 2) * R + r << 2) + (cell & 3)) << 2), -Infinity);
  for (let cell = last + 1; cell < cells; cell++) store<f32>(p + (<usize>(((cell >> 2) * R + r << 2) + (cell & 3)) << 2), -Infinity);
}

// @ts-ignore: decorator
@inline
function largest4(v: v128): v128 {
  const w = f32x4.pmax(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1));
  return f32x4.pmax(w, v128.shuffle<f32>(w, w, 1, 0, 3, 2));
}
// @ts-ignore: decorator
@inline
function inverseSum(v: v128): f32 {
  return 1 / (f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3)));
}

/** Scores [cells/4][R][4] → weights e^(score − max) [cells][R] in the same place, 1/sum of each row at inverses. */
// @ts-ignore: decorator
@inline
function softmax<R>(p: usize, cells: u32, inverses: usize): void {
  const end = p + <usize>(cells << 2) * sizeof<R>(), step: usize = 16 * sizeof<R>();
  let m0 = f32x4.splat(-Infinity), m1 = m0, m2 = m0, m3 = m0;
  for (let at = p; at < end; at += step) {
    m0 = f32x4.pmax(m0, v128.load(at));
    if (sizeof<R>() > 1) m1 = f32x4.pmax(m1, v128.load(at, 16));
    if (sizeof<R>() > 2) { m2 = f32x4.pmax(m2, v128.load(at, 32)); m3 = f32x4.pmax(m3, v128.load(at, 48)); }
  }
  m0 = largest4(m0); m1 = largest4(m1); m2 = largest4(m2); m3 = largest4(m3);
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  for (let at = p; at < end; at += step) {
    const e0 = exp4(f32x4.sub(v128.load(at), m0));
    s0 = f32x4.add(s0, e0);
    if (sizeof<R>() == 1) v128.store(at, e0);
    else {
      const e1 = exp4(f32x4.sub(v128.load(at, 16), m1));
      s1 = f32x4.add(s1, e1);
      const u = v128.shuffle<f32>(e0, e1, 0, 4, 1, 5), v = v128.shuffle<f32>(e0, e1, 2, 6, 3, 7);
      if (sizeof<R>() == 2) { v128.store(at, u); v128.store(at, v, 16); }
      else {
        const e2 = exp4(f32x4.sub(v128.load(at, 32), m2)), e3 = exp4(f32x4.sub(v128.load(at, 48), m3));
        s2 = f32x4.add(s2, e2);
        s3 = f32x4.add(s3, e3);
        const y = v128.shuffle<f32>(e2, e3, 0, 4, 1, 5), z = v128.shuffle<f32>(e2, e3, 2, 6, 3, 7);
        v128.store(at, v128.shuffle<i64>(u, y, 0, 2)); v128.store(at, v128.shuffle<i64>(u, y, 1, 3), 16);
        v128.store(at, v128.shuffle<i64>(v, z, 0, 2), 32); v128.store(at, v128.shuffle<i64>(v, z, 1, 3), 48);
      }
    }
  }
  store<f32>(inverses, inverseSum(s0));
  if (sizeof<R>() > 1) store<f32>(inverses, inverseSum(s1), 4);
  if (sizeof<R>() > 2) { store<f32>(inverses, inverseSum(s2), 8); store<f32>(inverses, inverseSum(s3), 12); }
}

// @ts-ignore: decorator
@inline
function firstCell(last: u32, window: u32): u32 { return window == 0 || last + 1 < window ? 0 : last + 1 - window; }

/** Rows [from, from + real) of one kv head, as R rows: missing ones repeat the last. Row i is token i / group, head i % group of the kv head. */
function attendRows<R>(
  q: usize, qStride: u32, out: usize, outStride: u32, block: usize, pageStride: u32, pages: usize, position: u32, group: u32, from: u32, real: u32,
  headDim: u32, scale: f32, window: u32, softCap: f32, scratch: usize,
): void {
  const rows: u32 = sizeof<R>(), headBytes: usize = <usize>headDim << 2, mask = heldInt(<i32>0xffff0000);
  const queries = scratch, sums = scratch + 4 * headBytes, inverses = scratch + 8 * headBytes, scores = inverses + 16;
  for (let r: u32 = 0; r < rows; r++) {
    const row = from + min(r, real - 1), head = q + (<usize>(row / group * qStride + row % group * headDim) << 2);
    for (let i: u32 = 0; i < headDim; i++) store<f32>(queries + (<usize>(i * rows + r) << 2), load<f32>(head + (<usize>i << 2)) * scale);
  }
  const begin = firstCell(position + from / group, window), last = position + (from + real - 1) / group;
  const firstPage = begin / PAGE, endPage = last / PAGE + 1, cells = (endPage - firstPage) * PAGE, base = firstPage * PAGE;
  const pageBytes: usize = <usize>(PAGE * rows) << 2;
  const cold = from == 0; // later rows of the kv head find the pages in a cache
  let to = scores, seen: u32 = 0;
  for (let page = firstPage; page < endPage; page++) {
    const key: usize = block + <usize>load<u32>(pages + (<usize>page << 2)) * pageStride;
    if (cold) seen |= fetch(key, headDim);
    if (sizeof<R>() == 4) pageScores<R, u8>(queries, key, headDim, to, mask);
    else if (sizeof<R>() == 2) pageScores<R, u16>(queries, key, headDim, to, mask);
    else pageScores<R, u32>(queries, key, headDim, to, mask);
    to += pageBytes;
  }
  if (softCap > 0) capScores(scores, to, softCap);
  for (let r: u32 = 0; r < rows; r++) {
    const seen = position + (from + min(r, real - 1)) / group;
    hide(scores, rows, r, cells, firstCell(seen, window) - base, seen - base);
  }
  softmax<R>(scores, cells, inverses);
  memory.fill(sums, 0, <usize>rows * headBytes);
  to = scores;
  for (let page = firstPage; page < endPage; page++) {
    const value: usize = block + <usize>load<u32>(pages + (<usize>page << 2)) * pageStride + (<usize>headDim << 6);
    if (cold) seen |= fetch(value, headDim);
    const low = page == firstPage ? begin & (PAGE - 1) : 0, high = page == endPage - 1 ? (last & (PAGE - 1)) + 1 : PAGE; // beyond lies what was never written
    const weights = to + (<usize>(low * rows) << 2);
    if (sizeof<R>() == 4) pageValues<R, u8>(weights, value, headDim, low, high, sums, mask);
    else if (sizeof<R>() == 2) {
      if (headDim & 15) pageValues<R, u8>(weights, value, headDim, low, high, sums, mask);
      else pageValues<R, u16>(weights, value, headDim, low, high, sums, mask);
    } else {
      if (headDim & 31) pageValues<R, u8>(weights, value, headDim, low, high, sums, mask);
      else pageValues<R, u32>(weights, value, headDim, low, high, sums, mask);
    }
    to += pageBytes;
  }
  store<u32>(queries, seen);
  for (let r: u32 = 0; r < real; r++) {
    const row = from + r, inverse = v128.load_splat<f32>(inverses + (r << 2));
    let result = out + (<usize>(row / group * outStride + row % group * headDim) << 2), sum = sums + (r << 4);
    for (const end = result + headBytes; result < end; result += 16) {
      v128.store(result, f32x4.mul(v128.load(sum), inverse));
      sum += rows << 4;
    }
  }
}

export function attendScratchBytes(tokens: u32, qHeads: u32, headDim: u32, contextTokens: u32): u32 {
  return 32 * headDim + 16 + 16 * (((contextTokens + PAGE - 1) & ~(PAGE - 1)) + PAGE);
}

export function attend(
  q: usize, qStride: u32, out: usize, outStride: u32, layerBase: usize, pageStride: u32, pages: usize, position: u32, tokens: u32,
  qHeads: u32, headToKv: usize, kvHeads: u32, headDim: u32, scale: f32, window: u32, softCap: f32, scratch: usize,
): void {
  for (let head: u32 = 0; head < qHeads; ) {
    const kv = load<u32>(headToKv + (<usize>head << 2)), block = layerBase + <usize>(kv * headDim << 7), offset: usize = <usize>(head * headDim) << 2;
    let group: u32 = 1;
    while (head + group < qHeads && load<u32>(headToKv + (<usize>(head + group) << 2)) == kv) group++;
    const rows = group * tokens;
    for (let from: u32 = 0; from < rows; from += 4) {
      const real = min<u32>(4, rows - from);
      if (real > 2) attendRows<u32>(q + offset, qStride, out + offset, outStride, block, pageStride, pages, position, group, from, real, headDim, scale, window, softCap, scratch);
      else if (real == 2) attendRows<u16>(q + offset, qStride, out + offset, outStride, block, pageStride, pages, position, group, from, real, headDim, scale, window, softCap, scratch);
      else attendRows<u8>(q + offset, qStride, out + offset, outStride, block, pageStride, pages, position, group, from, real, headDim, scale, window, softCap, scratch);
    }
    head += group;
  }
}
