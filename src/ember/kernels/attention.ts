// Attention over the pages of kv-pages.ts, in one pass: each page gives scores, weights against the largest score so far, and its share of the
// values, while it is in the nearest cache. A task is up to four rows, that is (token, query head) pairs of one kv head, which share the widening
// of keys and values; several tasks share a visit of a page. So one token's heads read a page from its first byte to its last.
//
// Scratch: a task has queries [headDim][W], sums [headDim/4][W][4], the largest score of each row [4], sums of weights [W][4] (a sum per lane), and
// the words of TASK_*. W is 1, 2 or 4 rows; three rows take four. Then come the scores of a page [8][W][4], which turn into weights [32][W], and the
// values of a page whose cells have keys alone.
import { softCap as capScores } from './activation-functions';
import { headBlockBytes, KV_BF16, KV_F32, kvWidth, PAGE } from './kv-pages';
import { turnAny } from './turn-keys';
import { heldInt, power4, sum4 } from './numbers';

/** Rows of a task as types, told apart by size at compile time: W = size. */
type One = u8;
type Two = u16;
type Four = u32;

/** Tasks that share a visit of a page. */
const TASKS: usize = 8;
/** Scores are powers of 2: their e^x are 2^(x · log2 e). */
const LOG2E: f32 = 1.44269504;
/** What a row's largest score begins with: finite, so that a page that is hidden from a row leaves weights of next to 0 instead of NaN. */
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
function splatAt(p: usize): v128 { return v128.load_splat<f32>(p); }
/** Eight values of type T at v, as two vectors of f32: first the first four. */
// @ts-ignore: decorator
@inline
function first4<T>(v: usize, mask: v128): v128 {
  if (isFloat<T>()) return v128.load(v);
  if (sizeof<T>() == 2) return i32x4.shl(v128.load(v), 16);
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v128.load_ext<i8>(v)));
}
// @ts-ignore: decorator
@inline
function second4<T>(v: usize, mask: v128): v128 {
  if (isFloat<T>()) return v128.load(v, 16);
  if (sizeof<T>() == 2) return v128.and(v128.load(v), mask);
  return f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(v128.load_ext<i8>(v)));
}

/**
 * Adds up products of R broadcast values at x (+ 4W each step) with eight values at v (+ 8 each step), `steps` times, into vectors at `to`, [2][W].
 * Keys: steps = elements, x = queries, from zero. Values: steps = cells, x = weights, onto the sums. One function for both, not inlined, that reads
 * strictly from front to back: the same instructions then see one stream through keys, values and heads, and the CPU's prefetchers keep up (1.5
 * to 2 times as fast at depth 4,096). Fewer rows take several steps at once into sums of their own, since eight sums hide the latency of a
 * multiplication.
 */
function accumulate<R, T>(x: usize, v: usize, steps: u32, to: usize, fresh: boolean, mask: v128): void {
  const wide = 8 * sizeof<T>(), end = v + steps * wide;
  let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  if (!fresh) {
    a = v128.load(to);
    if (sizeof<R>() == 1) b = v128.load(to, 16);
    else if (sizeof<R>() == 2) { b = v128.load(to, 16); c = v128.load(to, 32); d = v128.load(to, 48); }
    else {
      b = v128.load(to, 16); c = v128.load(to, 32); d = v128.load(to, 48);
      e = v128.load(to, 64); f = v128.load(to, 80); g = v128.load(to, 96); h = v128.load(to, 112);
    }
  }
  if (sizeof<R>() == 4) {
    for (; v < end; v += wide, x += 16) {
      const low = first4<T>(v, mask), high = second4<T>(v, mask), x0 = splatAt(x), x1 = splatAt(x + 4), x2 = splatAt(x + 8), x3 = splatAt(x + 12);
      a = f32x4.relaxed_madd(x0, low, a); b = f32x4.relaxed_madd(x1, low, b); c = f32x4.relaxed_madd(x2, low, c); d = f32x4.relaxed_madd(x3, low, d);
      e = f32x4.relaxed_madd(x0, high, e); f = f32x4.relaxed_madd(x1, high, f); g = f32x4.relaxed_madd(x2, high, g); h = f32x4.relaxed_madd(x3, high, h);
    }
    v128.store(to, a); v128.store(to, b, 16); v128.store(to, c, 32); v128.store(to, d, 48);
    v128.store(to, e, 64); v128.store(to, f, 80); v128.store(to, g, 96); v128.store(to, h, 112);
  } else if (sizeof<R>() == 2) {
    for (; v + wide < end; v += 2 * wide, x += 16) {
      let low = first4<T>(v, mask), high = second4<T>(v, mask), x0 = splatAt(x), x1 = splatAt(x + 4);
      a = f32x4.relaxed_madd(x0, low, a); b = f32x4.relaxed_madd(x1, low, b); c = f32x4.relaxed_madd(x0, high, c); d = f32x4.relaxed_madd(x1, high, d);
      low = first4<T>(v + wide, mask); high = second4<T>(v + wide, mask); x0 = splatAt(x + 8); x1 = splatAt(x + 12);
      e = f32x4.relaxed_madd(x0, low, e); f = f32x4.relaxed_madd(x1, low, f); g = f32x4.relaxed_madd(x0, high, g); h = f32x4.relaxed_madd(x1, high, h);
    }
    if (v < end) {
      const low = first4<T>(v, mask), high = second4<T>(v, mask), x0 = splatAt(x), x1 = splatAt(x + 4);
      a = f32x4.relaxed_madd(x0, low, a); b = f32x4.relaxed_madd(x1, low, b); c = f32x4.relaxed_madd(x0, high, c); d = f32x4.relaxed_madd(x1, high, d);
    }
    v128.store(to, f32x4.add(a, e)); v128.store(to, f32x4.add(b, f), 16); v128.store(to, f32x4.add(c, g), 32); v128.store(to, f32x4.add(d, h), 48);
  } else {
    for (; v + 3 * wide < end; v += 4 * wide, x += 16) {
      const x0 = splatAt(x), x1 = splatAt(x + 4), x2 = splatAt(x + 8), x3 = splatAt(x + 12);
      a = f32x4.relaxed_madd(x0, first4<T>(v, mask), a); b = f32x4.relaxed_madd(x0, second4<T>(v, mask), b);
      c = f32x4.relaxed_madd(x1, first4<T>(v + wide, mask), c); d = f32x4.relaxed_madd(x1, second4<T>(v + wide, mask), d);
      e = f32x4.relaxed_madd(x2, first4<T>(v + 2 * wide, mask), e); f = f32x4.relaxed_madd(x2, second4<T>(v + 2 * wide, mask), f);
      g = f32x4.relaxed_madd(x3, first4<T>(v + 3 * wide, mask), g); h = f32x4.relaxed_madd(x3, second4<T>(v + 3 * wide, mask), h);
    }
    for (; v < end; v += wide, x += 4) {
      const x0 = splatAt(x);
      a = f32x4.relaxed_madd(x0, first4<T>(v, mask), a); b = f32x4.relaxed_madd(x0, second4<T>(v, mask), b);
    }
    v128.store(to, f32x4.add(f32x4.add(a, c), f32x4.add(e, g))); v128.store(to, f32x4.add(f32x4.add(b, d), f32x4.add(f, h)), 16);
  }
}

/** Scores of a page, eight cells at a time. */
// @ts-ignore: decorator
@inline
function pageScores<R, T>(queries: usize, key: usize, headDim: u32, to: usize, mask: v128): void {
  const eight = <usize>(headDim << 3) * sizeof<T>();
  for (const end = key + 4 * eight; key < end; key += eight, to += 32 * sizeof<R>()) accumulate<R, T>(queries, key, headDim, to, true, mask);
}

/** Adds the values of `cells` cells of a page, by their weights, to the sums: eight elements at a time. */
// @ts-ignore: decorator
@inline
function pageValues<R, T>(weights: usize, value: usize, headDim: u32, cells: u32, sums: usize, mask: v128): void {
  for (const end = sums + <usize>(headDim << 2) * sizeof<R>(); sums < end; sums += 32 * sizeof<R>()) {
    accumulate<R, T>(weights, value, cells, sums, false, mask);
    value += 8 * PAGE * sizeof<T>();
  }
}

/** Hides the cells of row r outside [first, last] of a page. */
function hide(scores: usize, W: u32, r: u32, first: i32, last: i32): void {
  const firsts = i32x4.splat(first), lasts = i32x4.splat(last);
  let cells = i32x4(0, 1, 2, 3);
  scores += <usize>r << 4;
  for (const end = scores + (<usize>W << 7); scores < end; scores += <usize>W << 4) {
    const seen = v128.and(i32x4.ge_s(cells, firsts), i32x4.le_s(cells, lasts));
    v128.store(scores, v128.bitselect(v128.load(scores), f32x4.splat(-Infinity), seen));
    cells = i32x4.add(cells, i32x4.splat(4));
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
  const W = <u32>sizeof<R>();
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

/** Scores of a page [8][W][4] → weights 2^(score − largest so far) [32][W] in the same place. `most` and `totals` go along. */
function pageWeights<R>(p: usize, most: usize, totals: usize, sums: usize, headDim: u32): void {
  const W = <u32>sizeof<R>(), end = p + PAGE_SCORES / 4 * W, step = 16 * W;
  let m0 = f32x4.splat(-Infinity), m1 = m0, m2 = m0, m3 = m0;
  for (let at = p; at < end; at += step) {
    m0 = f32x4.pmax(m0, v128.load(at));
    if (W > 1) m1 = f32x4.pmax(m1, v128.load(at, 16));
    if (W > 2) { m2 = f32x4.pmax(m2, v128.load(at, 32)); m3 = f32x4.pmax(m3, v128.load(at, 48)); }
  }
  const before = v128.load(most), now = f32x4.pmax(before, largest4(m0, m1, m2, m3));
  if (v128.any_true(f32x4.gt(now, before))) {
    lessen<R>(sums, headDim, totals, power4(f32x4.sub(before, now)));
    v128.store(most, now);
  }
  m0 = v128.shuffle<f32>(now, now, 0, 0, 0, 0); m1 = v128.shuffle<f32>(now, now, 1, 1, 1, 1);
  m2 = v128.shuffle<f32>(now, now, 2, 2, 2, 2); m3 = v128.shuffle<f32>(now, now, 3, 3, 3, 3);
  let s0 = v128.load(totals), s1 = m0, s2 = m0, s3 = m0;
  if (W > 1) s1 = v128.load(totals, 16);
  if (W > 2) { s2 = v128.load(totals, 32); s3 = v128.load(totals, 48); }
  for (let at = p; at < end; at += step) {
    const e0 = power4(f32x4.sub(v128.load(at), m0));
    s0 = f32x4.add(s0, e0);
    if (W == 1) v128.store(at, e0);
    else {
      const e1 = power4(f32x4.sub(v128.load(at, 16), m1));
      s1 = f32x4.add(s1, e1);
      const u = v128.shuffle<f32>(e0, e1, 0, 4, 1, 5), v = v128.shuffle<f32>(e0, e1, 2, 6, 3, 7);
      if (W == 2) { v128.store(at, u); v128.store(at, v, 16); }
      else {
        const e2 = power4(f32x4.sub(v128.load(at, 32), m2)), e3 = power4(f32x4.sub(v128.load(at, 48), m3));
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

// @ts-ignore: decorator
@inline
function firstCell(last: u32, window: u32): u32 { return window == 0 || last + 1 < window ? 0 : last + 1 - window; }

/** One task and one page whose keys and values lie at `key` and `value`; scales and valueScales: of int8, else 0. */
function visit<R, T>(
  task: usize, page: u32, key: usize, value: usize, scales: usize, valueScales: usize, position: u32, tokens: u32, headDim: u32, window: u32, softCap: f32, open: i32, scores: usize,
): void {
  const W = <u32>sizeof<R>(), mask = heldInt(<i32>0xffff0000), queries = task + TASK_WORDS, sums = queries + <usize>(headDim * W << 2);
  pageScores<R, T>(queries, key, headDim, scores, mask);
  if (scales) scaleScores(scores, W, scales);
  if (softCap > 0) capScores(scores, PAGE * W, softCap * LOG2E);
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
  if (scales) scaleWeights(scores, W, valueScales);
  pageValues<R, T>(scores + <usize>(low * W << 2), value + <usize>(low << 3) * sizeof<T>(), headDim, high - low, sums, mask);
}

function visitAny<T>(
  task: usize, page: u32, key: usize, value: usize, scales: usize, valueScales: usize, position: u32, tokens: u32, headDim: u32, window: u32, softCap: f32, open: i32, scores: usize,
): void {
  const rows = load<u32>(task, TASK_ROWS);
  if (rows > 2) visit<Four, T>(task, page, key, value, scales, valueScales, position, tokens, headDim, window, softCap, open, scores);
  else if (rows == 2) visit<Two, T>(task, page, key, value, scales, valueScales, position, tokens, headDim, window, softCap, open, scores);
  else visit<One, T>(task, page, key, value, scales, valueScales, position, tokens, headDim, window, softCap, open, scores);
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
      store<f32>(task + (r << 2), load<f32>(sinks + (own << 2)) * LOG2E);
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
  return <u32>(TASKS * taskBytes(headDim) + PAGE_SCORES + PAGE * (headDim << 2));
}

export function attend(
  kvType: i32, q: usize, qStride: u32, out: usize, outStride: u32, layerBase: usize, pageStride: u32, pages: usize, position: u32, tokens: u32,
  qHeads: u32, headToKv: usize, kvHeads: u32, headDim: u32, scale: f32, window: u32, softCap: f32, sinks: usize, open: i32, shared: i32, scratch: usize,
): void {
  const blockBytes = headBlockBytes(kvType, headDim, shared != 0), valueOffset = <usize>(PAGE * headDim) * kvWidth(kvType), size = taskBytes(headDim);
  const scores = scratch + TASKS * size, turned = scores + PAGE_SCORES;
  let head: u32 = 0, from: u32 = 0;
  if (open) window = 0;
  scale *= LOG2E;
  while (head < qHeads) {
    let tasks: usize = 0, firstPage: u32 = u32.MAX_VALUE, endPage: u32 = 0;
    for (; tasks < TASKS && head < qHeads; tasks++) {
      const kv = load<u32>(headToKv + (<usize>head << 2)), task = scratch + tasks * size;
      let group: u32 = 1;
      while (head + group < qHeads && load<u32>(headToKv + (<usize>(head + group) << 2)) == kv) group++;
      const left = group * tokens - from, rows = min<u32>(left, 4);
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
      let turnedKv: u32 = u32.MAX_VALUE;
      for (let task = scratch; task < stop; task += size) {
        if (page < load<u32>(task, TASK_FIRST_PAGE) || page >= load<u32>(task, TASK_END_PAGE)) continue;
        const kv = load<u32>(task, TASK_KV), key = start + <usize>kv * blockBytes;
        let value = key + valueOffset, scales = value + valueOffset;
        if (shared) {
          scales = value;
          value = turned;
          if (turnedKv != kv) { turnAny(kvType, key, headDim, turned); turnedKv = kv; }
        }
        if (kvType == KV_BF16) visitAny<u16>(task, page, key, value, 0, 0, position, tokens, headDim, window, softCap, open, scores);
        else if (kvType == KV_F32) visitAny<f32>(task, page, key, value, 0, 0, position, tokens, headDim, window, softCap, open, scores);
        else visitAny<i8>(task, page, key, value, scales, shared ? scales : scales + 4 * PAGE, position, tokens, headDim, window, softCap, open, scores);
      }
    }
    for (let task = scratch; task < stop; task += size) finishTask(task, out, outStride, headDim);
  }
}
