// What sampling needs from a slice of the logits.
import { exp4, sum4 } from './numbers';

export function adjustLogits(logits: usize, n: u32, firstId: u32, entries: usize, count: u32): void {
  for (let e: u32 = 0; e < count; e++) {
    const index = load<u32>(entries) - firstId;
    if (index < n) {
      const at = logits + (<usize>index << 2), multiply = load<f32>(entries, 4);
      const logit = load<f32>(at);
      store<f32>(at, (logit > 0 ? logit / multiply : logit * multiply) + load<f32>(entries, 8));
    }
    entries += 12;
  }
}

export function maskLogits(logits: usize, n: u32, firstId: u32, mask: usize): void {
  for (let id = firstId, end = firstId + n; id < end; ) {
    const stop = min((id | 31) + 1, end);
    let allowed = load<u32>(mask + (<usize>(id >> 5) << 2)) >> (id & 31);
    const width = stop - id, all: u32 = <u32>-1 >> (32 - width);
    if ((allowed & all) == all) { // most words of a mask are all of one kind
      logits += <usize>width << 2;
      id = stop;
      continue;
    }
    for (; id < stop; id++) {
      if (!(allowed & 1)) store<f32>(logits, -Infinity);
      allowed >>= 1;
      logits += 4;
    }
  }
}

export function maxAndSum(logits: usize, n: u32, temperature: f32, out: usize): void {
  const whole = n & ~7;
  let u = f32x4.splat(-Infinity), v = u;
  for (let i: u32 = 0; i < whole; i += 8) {
    const at = logits + (<usize>i << 2);
    u = f32x4.pmax(u, v128.load(at));
    v = f32x4.pmax(v, v128.load(at, 16));
  }
  u = f32x4.pmax(u, v);
  let top: f32 = max(max(f32x4.extract_lane(u, 0), f32x4.extract_lane(u, 1)), max(f32x4.extract_lane(u, 2), f32x4.extract_lane(u, 3)));
  for (let i = whole; i < n; i++) top = max(top, load<f32>(logits + (<usize>i << 2)));
  const tops = f32x4.splat(top), inverse: f32 = 1 / temperature, inverses = f32x4.splat(inverse);
  let total: f64 = 0;
  // Parts of 4,096 values are added in float64, so that a large vocabulary loses nothing.
  for (let from: u32 = 0; from < whole; from += 4096) {
    const end = logits + (<usize>min(from + 4096, whole) << 2);
    u = f32x4.splat(0);
    v = u;
    for (let at = logits + (<usize>from << 2); at < end; at += 32) {
      u = f32x4.add(u, exp4(f32x4.mul(f32x4.sub(v128.load(at), tops), inverses)));
      v = f32x4.add(v, exp4(f32x4.mul(f32x4.sub(v128.load(at, 16), tops), inverses)));
    }
    total += <f64>sum4(f32x4.add(u, v));
  }
  for (let i = whole; i < n; i++) total += <f64>f32x4.extract_lane(exp4(f32x4.splat((load<f32>(logits + (<usize>i << 2)) - top) * inverse)), 0);
  store<f32>(out, top);
  store<f32>(out, <f32>total, 4);
}

/** Puts a value into the list sorted from largest; a later index goes behind equal values. */
function insert(ids: usize, values: usize, found: u32, id: u32, value: f32): void {
  let at: usize = <usize>found << 2;
  while (at > 0 && load<f32>(values + at - 4) < value) {
    store<f32>(values + at, load<f32>(values + at - 4));
    store<u32>(ids + at, load<u32>(ids + at - 4));
    at -= 4;
  }
  store<f32>(values + at, value);
  store<u32>(ids + at, id);
}

/** One pass: almost all values fail the test against the smallest of the list, eight at a time. NaN is never taken. */
export function topN(logits: usize, n: u32, firstId: u32, count: u32, ids: usize, values: usize): u32 {
  let found: u32 = 0, i: u32 = 0;
  if (count == 0) return 0;
  for (; i < n && found < count; i++) {
    const value = load<f32>(logits + (<usize>i << 2));
    if (value == value) insert(ids, values, found++, firstId + i, value);
  }
  const last: usize = <usize>(count - 1) << 2;
  while (i < n) {
    const smallest = load<f32>(values + last), limit = f32x4.splat(smallest);
    while (i + 8 <= n) {
      const at = logits + (<usize>i << 2);
      if (v128.any_true(v128.or(f32x4.gt(v128.load(at), limit), f32x4.gt(v128.load(at, 16), limit)))) break;
      i += 8;
    }
    const stop = min(i + 8, n);
    for (; i < stop; i++) {
      const value = load<f32>(logits + (<usize>i << 2));
      if (value > load<f32>(values + last)) insert(ids, values, count - 1, firstId + i, value);
    }
  }
  return found;
}
