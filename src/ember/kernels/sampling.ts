// What sampling needs from a slice of the logits.
import { power4, sum4 } from './numbers';

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
  const tops = f32x4.splat(top), inverse: f32 = 1.44269504 / temperature, inverses = f32x4.splat(inverse);
  let total: f64 = 0;
  // Parts of 4,096 values are added in float64, so that a large vocabulary loses nothing.
  for (let from: u32 = 0; from < whole; from += 4096) {
    const end = logits + (<usize>min(from + 4096, whole) << 2);
    u = f32x4.splat(0);
    v = u;
    for (let at = logits + (<usize>from << 2); at < end; at += 32) {
      u = f32x4.add(u, power4(f32x4.mul(f32x4.sub(v128.load(at), tops), inverses)));
      v = f32x4.add(v, power4(f32x4.mul(f32x4.sub(v128.load(at, 16), tops), inverses)));
    }
    total += <f64>sum4(f32x4.add(u, v));
  }
  for (let i = whole; i < n; i++) total += <f64>f32x4.extract_lane(power4(f32x4.splat((load<f32>(logits + (<usize>i << 2)) - top) * inverse)), 0);
  store<f32>(out, top);
  store<f32>(out, <f32>total, 4);
}

/** Puts an entry at place `at` of a heap of `count`, or below it. The worst is at 0; of equal values the later id is worse. */
function sink(ids: usize, values: usize, count: u32, at: u32, id: u32, value: f32): void {
  for (let child: u32 = 2 * at + 1; child < count; child = 2 * at + 1) {
    let from: usize = <usize>child << 2, worst = load<f32>(values + from);
    if (child + 1 < count) {
      const other = load<f32>(values + from, 4);
      if (other < worst || (other == worst && load<u32>(ids + from, 4) > load<u32>(ids + from))) { from += 4; worst = other; child++; }
    }
    if (worst > value || (worst == value && load<u32>(ids + from) < id)) break;
    const to: usize = <usize>at << 2;
    store<f32>(values + to, worst);
    store<u32>(ids + to, load<u32>(ids + from));
    at = child;
  }
  store<f32>(values + (<usize>at << 2), value);
  store<u32>(ids + (<usize>at << 2), id);
}

/** One pass: almost all values fail the test against the worst that was kept, eight at a time; the others go into a heap. NaN is never taken. */
export function topN(logits: usize, n: u32, firstId: u32, count: u32, ids: usize, values: usize): u32 {
  let found: u32 = 0, i: u32 = 0;
  if (count == 0) return 0;
  for (; i < n && found < count; i++) {
    const value = load<f32>(logits + (<usize>i << 2));
    if (value != value) continue;
    store<f32>(values + (<usize>found << 2), value);
    store<u32>(ids + (<usize>found << 2), firstId + i);
    found++;
  }
  for (let at = found >> 1; at > 0; ) {
    at--;
    sink(ids, values, found, at, load<u32>(ids + (<usize>at << 2)), load<f32>(values + (<usize>at << 2)));
  }
  while (i < n) {
    const limit = v128.load_splat<f32>(values);
    while (i + 8 <= n) {
      const at = logits + (<usize>i << 2);
      if (v128.any_true(v128.or(f32x4.gt(v128.load(at), limit), f32x4.gt(v128.load(at, 16), limit)))) break;
      i += 8;
    }
    const stop = min(i + 8, n);
    for (; i < stop; i++) {
      const value = load<f32>(logits + (<usize>i << 2));
      if (value > load<f32>(values)) sink(ids, values, count, 0, firstId + i, value);
    }
  }
  for (let left = found; left > 1; ) { // the worst goes to the end, again and again
    const last: usize = <usize>--left << 2, id = load<u32>(ids + last), value = load<f32>(values + last);
    store<f32>(values + last, load<f32>(values));
    store<u32>(ids + last, load<u32>(ids));
    sink(ids, values, left, 0, id, value);
  }
  return found;
}
