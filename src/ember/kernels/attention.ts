// Attention over the pages of kv-pages.ts, in one pass: each page gives scores, weights against the largest score so far, and its share of the
// values, while it is in the nearest cache. A task is up to four rows, that is (token, query head) pairs of one kv head, which share the widening
// of keys and values; several tasks share a visit of a page. So one token's heads read a page from its first byte to its last.
//
// Scratch: a task has queries [headDim][W], sums [headDim/4][W][4], the largest score of each row [4], sums of weights [W][4] (a sum per lane), and
// the words of TASK_*. W is 1, 2 or 4 rows; three rows leave a gap. Then come the scores of a page [8][W][4], which turn into weights [32][W], and
// room for a page that was int8.
import { softCap as capScores } from './activation-functions';
import { headBlockBytes, KV_BF16, KV_F32, kvWidth, PAGE } from './kv-pages';
import { exp4, heldInt, sum4 } from './numbers';

/** Rows of a task as types, told apart by size at compile time: W = size, but Three has the gap of a fourth row. */
type One = u8;
type Two = u16;
type Four = u32;
type Three = u64;

/** Tasks that share a visit of a page. */
const TASKS: usize = 8;
/** What a row's largest score begins with: finite, so that a page that is hidden from a row leaves weights of 0 instead of NaN. */
const LEAST: f32 = -3.0e38;
// Words of a task, behind its 80 bytes of sums.
const TASK_ROWS: usize = 80;
const TASK_FROM: usize = 84;
const TASK_HEAD: usize = 88;
const TASK_GROUP: usize = 92;
const TASK_KV: usize = 96;
const TASK_FIRST_PAGE: usize = 100;
const TASK_END_PAGE: usize = 104;
const TASK_WORDS: usize = 112;
const PAGE_SCORES: usize = 512;

// @ts-ignore: decorator
@inline
function low4(v: v128): v128 { return i32x4.shl(v, 16); }
// @ts-ignore: decorator
@inline
function high4(v: v128, mask: v128): v128 { return v128.and(v, mask); }
// @ts-ignore: decorator
@inline
function splatAt(p: usize): v128 { return v128.load_splat<f32>(p); }
// @ts-ignore: decorator
@inline
function layoutRows<R>(): u32 { return sizeof<R>() == 8 ? 4 : <u32>sizeof<R>(); }

/**
 * Adds up products of R broadcast values at x (+ 4W each step) with 8·L values at v, v + apart, … (+ 8 values each step), `steps` times, into
 * vectors at `to`, [2L][W]. Keys: steps = elements, x = queries. Values: steps = cells, x = weights. `fresh`: begin from 0. Three rows take two
 * eights at once and four take one, since eight sums hide the latency of a multiplication.
 */
function accumulate<R, L, T>(x: usize, v: usize, apart: usize, steps: u32, to: usize, fresh: boolean, mask: v128): void {
  let a: v128, b: v128, c: v128, d: v128, e: v128, f: v128, g: v128, h: v128, i: v128, j: v128, k: v128, l: v128;
  const wide = sizeof<T>() == 4 ? 32 : 16;
  a = i32x4.splat(0); b = a; c = a; d = a; e = a; f = a; g = a; h = a; i = a; j = a; k = a; l = a;
  if (sizeof<R>() == 8) {
    if (!fresh) {
      a = v128.load(to); b = v128.load(to, 16); c = v128.load(to, 32); d = v128.load(to, 64); e = v128.load(to, 80); f = v128.load(to, 96);
      if (sizeof<L>() == 2) { g = v128.load(to, 128); h = v128.load(to, 144); i = v128.load(to, 160); j = v128.load(to, 192); k = v128.load(to, 208); l = v128.load(to, 224); }
    }
  } else if (!fresh) {
    a = v128.load(to); b = v128.load(to, 16);
    if (sizeof<R>() * sizeof<L>() > 1) { c = v128.load(to, 32); d = v128.load(to, 48); }
    if (sizeof<R>() * sizeof<L>() > 2) { e = v128.load(to, 64); f = v128.load(to, 80); g = v128.load(to, 96); h = v128.load(to, 112); }
  }
  for (const end = v + steps * wide; v < end; v += wide) {
    let low: v128, high: v128;
    if (sizeof<T>() == 4) { low = v128.load(v); high = v128.load(v, 16); }
    else { const w = v128.load(v); low = low4(w); high = high4(w, mask); }
    const x0 = splatAt(x);
    if (sizeof<R>() == 4) {
      const x1 = splatAt(x + 4), x2 = splatAt(x + 8), x3 = splatAt(x + 12);
      a = f32x4.relaxed_madd(x0, low, a); b = f32x4.relaxed_madd(x1, low, b); c = f32x4.relaxed_madd(x2, low, c); d = f32x4.relaxed_madd(x3, low, d);
      e = f32x4.relaxed_madd(x0, high, e); f = f32x4.relaxed_madd(x1, high, f); g = f32x4.relaxed_madd(x2, high, g); h = f32x4.relaxed_madd(x3, high, h);
    } else if (sizeof<R>() == 8) {
      const x1 = splatAt(x + 4), x2 = splatAt(x + 8);
      a = f32x4.relaxed_madd(x0, low, a); b = f32x4.relaxed_madd(x1, low, b); c = f32x4.relaxed_madd(x2, low, c);
      d = f32x4.relaxed_madd(x0, high, d); e = f32x4.relaxed_madd(x1, high, e); f = f32x4.relaxed_madd(x2, high, f);
      if (sizeof<L>() == 2) {
        if (sizeof<T>() == 4) { low = v128.load(v + apart); high = v128.load(v + apart, 16); }
        else { const w = v128.load(v + apart); low = low4(w); high = high4(w, mask); }
        g = f32x4.relaxed_madd(x0, low, g); h = f32x4.relaxed_madd(x1, low, h); i = f32x4.relaxed_madd(x2, low, i);
        j = f32x4.relaxed_madd(x0, high, j); k = f32x4.relaxed_madd(x1, high, k); l = f32x4.relaxed_madd(x2, high, l);
      }
    } else if (sizeof<R>() == 2) {
      const x1 = splatAt(x + 4);
      a = f32x4.relaxed_madd(x0, low, a); b = f32x4.relaxed_madd(x1, low, b); c = f32x4.relaxed_madd(x0, high, c); d = f32x4.relaxed_madd(x1, high, d);
      if (sizeof<L>() == 2) {
        if (sizeof<T>() == 4) { low = v128.load(v + apart); high = v128.load(v + apart, 16); }
        else { const w = v128.load(v + apart); low = low4(w); high = high4(w, mask); }
        e = f32x4.relaxed_madd(x0, low, e); f = f32x4.relaxed_madd(x1, low, f); g = f32x4.relaxed_madd(x0, high, g); h = f32x4.relaxed_madd(x1, high, h);
      }
    } else {
      a = f32x4.relaxed_madd(x0, low, a); b = f32x4.relaxed_madd(x0, high, b);
      if (sizeof<L>() == 4) {
        if (sizeof<T>() == 4) {
          c = f32x4.relaxed_madd(x0, v128.load(v + apart), c); d = f32x4.relaxed_madd(x0, v128.load(v + apart, 16), d);
          e = f32x4.relaxed_madd(x0, v128.load(v + 2 * apart), e); f = f32x4.relaxed_madd(x0, v128.load(v + 2 * apart, 16), f);
          g = f32x4.relaxed_madd(x0, v128.load(v + 3 * apart), g); h = f32x4.relaxed_madd(x0, v128.load(v + 3 * apart, 16), h);
        } else {
          const w1 = v128.load(v + apart), w2 = v128.load(v + 2 * apart), w3 = v128.load(v + 3 * apart);
          c = f32x4.relaxed_madd(x0, low4(w1), c); d = f32x4.relaxed_madd(x0, high4(w1, mask), d);
          e = f32x4.relaxed_madd(x0, low4(w2), e); f = f32x4.relaxed_madd(x0, high4(w2, mask), f);
          g = f32x4.relaxed_madd(x0, low4(w3), g); h = f32x4.relaxed_madd(x0, high4(w3, mask), h);
        }
      }
    }
    x += 4 * layoutRows<R>();
  }
  if (sizeof<R>() == 8) {
    v128.store(to, a); v128.store(to, b, 16); v128.store(to, c, 32); v128.store(to, d, 64); v128.store(to, e, 80); v128.store(to, f, 96);
    if (sizeof<L>() == 2) { v128.store(to, g, 128); v128.store(to, h, 144); v128.store(to, i, 160); v128.store(to, j, 192); v128.store(to, k, 208); v128.store(to, l, 224); }
  } else {
    v128.store(to, a); v128.store(to, b, 16);
    if (sizeof<R>() * sizeof<L>() > 1) { v128.store(to, c, 32); v128.store(to, d, 48); }
    if (sizeof<R>() * sizeof<L>() > 2) { v128.store(to, e, 64); v128.store(to, f, 80); v128.store(to, g, 96); v128.store(to, h, 112); }
  }
}

/**
 * Asks for all cache lines of a block at once. Blocks lie far apart: left to themselves, the loops would wait for memory line after line
 * (half as fast at depth 4,096). The result only keeps the loads alive.
 */
function fetch(block: usize, bytes: usize): u32 {
  let seen: u32 = 0;
  for (const end = block + bytes; block < end; block += 512) {
    seen |= load<u32>(block) | load<u32>(block, 64) | load<u32>(block, 128) | load<u32>(block, 192);
    seen |= load<u32>(block, 256) | load<u32>(block, 320) | load<u32>(block, 384) | load<u32>(block, 448);
  }
  return seen;
}

/** Scores of a page, L eights of cells at a time. */
// @ts-ignore: decorator
@inline
function pageScores<R, L, T>(queries: usize, key: usize, headDim: u32, to: usize, mask: v128): void {
  const eight = <usize>(headDim << 3) * sizeof<T>();
  for (const end = key + 4 * eight; key < end; key += sizeof<L>() * eight) {
    accumulate<R, L, T>(queries, key, eight, headDim, to, true, mask);
    to += 32 * layoutRows<R>() * sizeof<L>();
  }
}

/** Adds the values of `cells` cells of a page, by their weights, to the sums: L eights of elements at a time. */
// @ts-ignore: decorator
@inline
function pageValues<R, L, T>(weights: usize, value: usize, headDim: u32, cells: u32, sums: usize, mask: v128): void {
  const eight = 8 * PAGE * sizeof<T>();
  let left = headDim >> 3;
  for (; left >= <u32>sizeof<L>(); left -= <u32>sizeof<L>()) {
    accumulate<R, L, T>(weights, value, eight, cells, sums, false, mask);
    value += eight * sizeof<L>();
    sums += 32 * layoutRows<R>() * sizeof<L>();
  }
  if (sizeof<L>() > 1) {
    for (; left > 0; left--) {
      accumulate<R, u8, T>(weights, value, eight, cells, sums, false, mask);
      value += eight;
      sums += 32 * layoutRows<R>();
    }
  }
}

/** Hides the cells of row r outside [first, last] of a page. */
function hide(scores: usize, W: u32, r: u32, first: i32, last: i32): void {
  for (let cell: i32 = 0; cell < <i32>PAGE; cell++) {
    if (cell < first || cell > last) store<f32>(scores + (<usize>(((cell >> 2) * W + r << 2) + (cell & 3)) << 2), -Infinity);
  }
}

/** Lane i = largest lane of the i-th argument. */
// @ts-ignore: decorator
@inline
function largest4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.pmax(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.pmax(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.pmax(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/** Multiplies W rows of a page's scores, or weights [32][W], by one factor for each cell (int8). */
function scaleScores(p: usize, W: u32, scales: usize): void {
  for (let four: u32 = 0; four < PAGE / 4; four++) {
    const s = v128.load(scales + (four << 4));
    for (let r: u32 = 0; r < W; r++, p += 16) v128.store(p, f32x4.mul(v128.load(p), s));
  }
}
function scaleWeights(p: usize, W: u32, scales: usize): void {
  for (let cell: u32 = 0; cell < PAGE; cell++) {
    const s = load<f32>(scales + (cell << 2));
    for (let r: u32 = 0; r < W; r++, p += 4) store<f32>(p, load<f32>(p) * s);
  }
}

/** A larger score came: what was summed up so far is worth less. */
function lessen<R>(sums: usize, headDim: u32, totals: usize, factors: v128): void {
  const W = layoutRows<R>();
  const f0 = v128.shuffle<f32>(factors, factors, 0, 0, 0, 0), f1 = v128.shuffle<f32>(factors, factors, 1, 1, 1, 1);
  const f2 = v128.shuffle<f32>(factors, factors, 2, 2, 2, 2), f3 = v128.shuffle<f32>(factors, factors, 3, 3, 3, 3);
  v128.store(totals, f32x4.mul(v128.load(totals), f0));
  if (W > 1) v128.store(totals, f32x4.mul(v128.load(totals, 16), f1), 16);
  if (W > 2) { v128.store(totals, f32x4.mul(v128.load(totals, 32), f2), 32); v128.store(totals, f32x4.mul(v128.load(totals, 48), f3), 48); }
  for (const end = sums + <usize>(headDim * W << 2); sums < end; sums += 16 * W) {
    v128.store(sums, f32x4.mul(v128.load(sums), f0));
    if (W > 1) v128.store(sums, f32x4.mul(v128.load(sums, 16), f1), 16);
    if (W > 2) { v128.store(sums, f32x4.mul(v128.load(sums, 32), f2), 32); v128.store(sums, f32x4.mul(v128.load(sums, 48), f3), 48); }
  }
}

/** Scores of a page [8][W][4] → weights e^(score − largest so far) [32][W] in the same place. `most` and `totals` go along. */
function pageWeights<R>(p: usize, most: usize, totals: usize, sums: usize, headDim: u32): void {
  const W = layoutRows<R>(), end = p + PAGE_SCORES / 4 * W, step = 16 * W;
  let m0 = f32x4.splat(-Infinity), m1 = m0, m2 = m0, m3 = m0;
  for (let at = p; at < end; at += step) {
    m0 = f32x4.pmax(m0, v128.load(at));
    if (W > 1) m1 = f32x4.pmax(m1, v128.load(at, 16));
    if (W > 2) { m2 = f32x4.pmax(m2, v128.load(at, 32)); m3 = f32x4.pmax(m3, v128.load(at, 48)); }
  }
  const before = v128.load(most), now = f32x4.pmax(before, largest4(m0, m1, m2, m3));
  if (v128.any_true(f32x4.gt(now, before))) {
    lessen<R>(sums, headDim, totals, exp4(f32x4.sub(before, now)));
    v128.store(most, now);
  }
  m0 = v128.shuffle<f32>(now, now, 0, 0, 0, 0); m1 = v128.shuffle<f32>(now, now, 1, 1, 1, 1);
  m2 = v128.shuffle<f32>(now, now, 2, 2, 2, 2); m3 = v128.shuffle<f32>(now, now, 3, 3, 3, 3);
  let s0 = v128.load(totals), s1 = m0, s2 = m0, s3 = m0;
  if (W > 1) s1 = v128.load(totals, 16);
  if (W > 2) { s2 = v128.load(totals, 32); s3 = v128.load(totals, 48); }
  for (let at = p; at < end; at += step) {
    const e0 = exp4(f32x4.sub(v128.load(at), m0));
    s0 = f32x4.add(s0, e0);
    if (W == 1) v128.store(at, e0);
    else {
      const e1 = exp4(f32x4.sub(v128.load(at, 16), m1));
      s1 = f32x4.add(s1, e1);
      const u = v128.shuffle<f32>(e0, e1, 0, 4, 1, 5), v = v128.shuffle<f32>(e0, e1, 2, 6, 3, 7);
      if (W == 2) { v128.store(at, u); v128.store(at, v, 16); }
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
  v128.store(totals, s0);
  if (W > 1) v128.store(totals, s1, 16);
  if (W > 2) { v128.store(totals, s2, 32); v128.store(totals, s3, 48); }
}

/** int8 → f32, n a multiple of 16. */
function widenBytes(from: usize, to: usize, n: u32): void {
  for (const end = from + n; from < end; from += 16, to += 64) {
    const v = v128.load(from), low = i16x8.extend_low_i8x16_s(v), high = i16x8.extend_high_i8x16_s(v);
    v128.store(to, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)));
    v128.store(to, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), 16);
    v128.store(to, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), 32);
    v128.store(to, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), 48);
  }
}

// @ts-ignore: decorator
@inline
function firstCell(last: u32, window: u32): u32 { return window == 0 || last + 1 < window ? 0 : last + 1 - window; }

/** One task and one page whose keys and values lie at `key` and `value`; scales: of int8, else 0. */
function visit<R, T>(
  task: usize, page: u32, key: usize, value: usize, scales: usize, position: u32, tokens: u32, headDim: u32, window: u32, softCap: f32, open: i32, scores: usize,
): void {
  const W = layoutRows<R>(), mask = heldInt(<i32>0xffff0000), queries = task + TASK_WORDS, sums = queries + <usize>(headDim * W << 2);
  if (sizeof<R>() == 4) pageScores<R, u8, T>(queries, key, headDim, scores, mask);
  else if (sizeof<R>() == 1) pageScores<R, u32, T>(queries, key, headDim, scores, mask);
  else pageScores<R, u16, T>(queries, key, headDim, scores, mask);
  if (scales) scaleScores(scores, W, scales);
  if (softCap > 0) capScores(scores, PAGE * W, softCap);
  const rows = load<u32>(task, TASK_ROWS), from = load<u32>(task, TASK_FROM), group = load<u32>(task, TASK_GROUP);
  const end = open ? position + tokens : position + (from + rows - 1) / group + 1, base = page * PAGE;
  const first: u32 = open ? 0 : firstCell(position + from / group, window);
  // only a page at an end of what some row sees has anything to hide
  if (base + PAGE > (open ? end : position + from / group + 1) || (window && base < firstCell(end - 1, window))) {
    for (let r: u32 = 0; r < W; r++) {
      const last = open ? end - 1 : position + (from + min(r, rows - 1)) / group;
      hide(scores, W, r, <i32>(open ? 0 : firstCell(last, window)) - <i32>base, <i32>last - <i32>base);
    }
  }
  pageWeights<R>(scores, task, task + 16, sums, headDim);
  const low = first > base ? first - base : 0, high = min(end - base, PAGE); // beyond lies what was never written
  if (scales) scaleWeights(scores, W, scales + 4 * PAGE);
  const weights = scores + <usize>(low * W << 2), values = value + <usize>(low << 3) * sizeof<T>();
  if (sizeof<R>() == 4) pageValues<R, u8, T>(weights, values, headDim, high - low, sums, mask);
  else if (sizeof<R>() == 1) pageValues<R, u32, T>(weights, values, headDim, high - low, sums, mask);
  else pageValues<R, u16, T>(weights, values, headDim, high - low, sums, mask);
}

function visitAny<T>(
  task: usize, page: u32, key: usize, value: usize, scales: usize, position: u32, tokens: u32, headDim: u32, window: u32, softCap: f32, open: i32, scores: usize,
): void {
  const rows = load<u32>(task, TASK_ROWS);
  if (rows == 4) visit<Four, T>(task, page, key, value, scales, position, tokens, headDim, window, softCap, open, scores);
  else if (rows == 3) visit<Three, T>(task, page, key, value, scales, position, tokens, headDim, window, softCap, open, scores);
  else if (rows == 2) visit<Two, T>(task, page, key, value, scales, position, tokens, headDim, window, softCap, open, scores);
  else visit<One, T>(task, page, key, value, scales, position, tokens, headDim, window, softCap, open, scores);
}

// @ts-ignore: decorator
@inline
function layoutOf(rows: u32): u32 { return rows == 3 ? 4 : rows; }
// @ts-ignore: decorator
@inline
function taskBytes(headDim: u32): usize { return TASK_WORDS + <usize>(headDim << 5); }

/** Writes a task: rows [from, from + rows) of the kv head whose first query head is `head`. Row i is token i / group, head i % group of them. */
function beginTask(task: usize, kv: u32, head: u32, group: u32, from: u32, rows: u32, q: usize, qStride: u32, headDim: u32, scale: f32, sinks: usize): void {
  const W = layoutOf(rows), queries = task + TASK_WORDS;
  store<u32>(task, rows, TASK_ROWS); store<u32>(task, from, TASK_FROM); store<u32>(task, head, TASK_HEAD);
  store<u32>(task, group, TASK_GROUP); store<u32>(task, kv, TASK_KV);
  memory.fill(task, 0, TASK_ROWS);
  memory.fill(queries, 0, <usize>(headDim * W) << 3);
  for (let r: u32 = 0; r < 4; r++) store<f32>(task + (r << 2), LEAST);
  for (let r: u32 = 0; r < rows; r++) {
    const own = head + (from + r) % group;
    let x = q + (<usize>((from + r) / group * qStride + own * headDim) << 2), to = queries + (r << 2);
    for (const end = x + (<usize>headDim << 2); x < end; x += 4, to += W << 2) store<f32>(to, load<f32>(x) * scale);
    if (sinks) { // a score without a value
      store<f32>(task + (r << 2), load<f32>(sinks + (own << 2)));
      store<f32>(task + 16 + (r << 4), 1);
    }
  }
}

/** Values ÷ sum of weights, to the rows of the result. */
function finishTask(task: usize, out: usize, outStride: u32, headDim: u32): void {
  const rows = load<u32>(task, TASK_ROWS), from = load<u32>(task, TASK_FROM), group = load<u32>(task, TASK_GROUP), head = load<u32>(task, TASK_HEAD);
  const W = layoutOf(rows), sums = task + TASK_WORDS + (<usize>(headDim * W) << 2);
  for (let r: u32 = 0; r < rows; r++) {
    const inverse = f32x4.splat(1 / sum4(v128.load(task + 16 + (r << 4))));
    let to = out + (<usize>((from + r) / group * outStride + (head + (from + r) % group) * headDim) << 2), sum = sums + (r << 4);
    for (const end = to + (<usize>headDim << 2); to < end; to += 16, sum += W << 4) v128.store(to, f32x4.mul(v128.load(sum), inverse));
  }
}

export function attendScratchBytes(tokens: u32, qHeads: u32, headDim: u32, contextTokens: u32): u32 {
  return <u32>(TASKS * taskBytes(headDim) + PAGE_SCORES) + 8 * PAGE * headDim + 16;
}

export function attend(
  kvType: i32, q: usize, qStride: u32, out: usize, outStride: u32, layerBase: usize, pageStride: u32, pages: usize, position: u32, tokens: u32,
  qHeads: u32, headToKv: usize, kvHeads: u32, headDim: u32, scale: f32, window: u32, softCap: f32, sinks: usize, open: i32, scratch: usize,
): void {
  const blockBytes = headBlockBytes(kvType, headDim), valueOffset = <usize>(PAGE * headDim) * kvWidth(kvType), size = taskBytes(headDim);
  const scores = scratch + TASKS * size, wide = scores + PAGE_SCORES, wideValues = wide + (<usize>(PAGE * headDim) << 2);
  let head: u32 = 0, from: u32 = 0, seen: u32 = 0;
  if (open) window = 0;
  while (head < qHeads) {
    let tasks: usize = 0, firstPage: u32 = u32.MAX_VALUE, endPage: u32 = 0;
    for (; tasks < TASKS && head < qHeads; tasks++) {
      const kv = load<u32>(headToKv + (<usize>head << 2)), task = scratch + tasks * size;
      let group: u32 = 1;
      while (head + group < qHeads && load<u32>(headToKv + (<usize>(head + group) << 2)) == kv) group++;
      const left = group * tokens - from, rows: u32 = left >= 7 || left == 4 ? 4 : min<u32>(left, 3);
      beginTask(task, kv, head, group, from, rows, q, qStride, headDim, scale, sinks);
      const last = open ? position + tokens - 1 : position + (from + rows - 1) / group;
      const first = open ? 0 : firstCell(position + from / group, window) / PAGE;
      store<u32>(task, first, TASK_FIRST_PAGE);
      store<u32>(task, last / PAGE + 1, TASK_END_PAGE);
      firstPage = min(firstPage, first);
      endPage = max(endPage, last / PAGE + 1);
      from += rows;
      if (left == rows) { head += group; from = 0; }
    }
    const stop = scratch + tasks * size;
    for (let page = firstPage; page < endPage; page++) {
      const start = layerBase + <usize>load<u32>(pages + (<usize>page << 2)) * pageStride;
      let widened: u32 = -1;
      for (let task = scratch; task < stop; task += size) {
        if (page < load<u32>(task, TASK_FIRST_PAGE) || page >= load<u32>(task, TASK_END_PAGE)) continue;
        const kv = load<u32>(task, TASK_KV), block = start + <usize>kv * blockBytes;
        if (load<u32>(task, TASK_FROM) == 0) seen |= fetch(block, blockBytes); // later rows of the kv head find the page in a cache
        if (kvType == KV_BF16) visitAny<u16>(task, page, block, block + valueOffset, 0, position, tokens, headDim, window, softCap, open, scores);
        else if (kvType == KV_F32) visitAny<f32>(task, page, block, block + valueOffset, 0, position, tokens, headDim, window, softCap, open, scores);
        else {
          if (widened != kv) {
            widenBytes(block, wide, PAGE * headDim);
            widenBytes(block + valueOffset, wideValues, PAGE * headDim);
            widened = kv;
          }
          visitAny<f32>(task, page, wide, wideValues, block + 2 * valueOffset, position, tokens, headDim, window, softCap, open, scores);
        }
      }
    }
    for (let task = scratch; task < stop; task += size) finishTask(task, out, outStride, headDim);
  }
  store<u32>(wideValues + (<usize>(PAGE * headDim) << 2), seen);
}
