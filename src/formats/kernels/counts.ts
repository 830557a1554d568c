// The numbers of one block in float64, and how far those that were written are from those of the source.

/** 32 numbers of the source, and those that are written for them. */
export const WANTED = memory.data(256);
export const FOUND = memory.data(256);

/** factor * code + addend of 16 codes without a sign. */
@inline
export function values16(codes: v128, factor: f64, addend: f64, out: usize): void {
  wideValues16(i16x8.extend_low_i8x16_u(codes), i16x8.extend_high_i8x16_u(codes), factor, addend, out);
}

/** The same of codes with a sign. */
@inline
export function signedValues16(codes: v128, factor: f64, addend: f64, out: usize): void {
  wideValues16(i16x8.extend_low_i8x16_s(codes), i16x8.extend_high_i8x16_s(codes), factor, addend, out);
}

/** Of codes in lanes of 16 bits. */
@inline
function wideValues16(low: v128, high: v128, factor: f64, addend: f64, out: usize): void {
  values8(low, f64x2.splat(factor), f64x2.splat(addend), out);
  values8(high, f64x2.splat(factor), f64x2.splat(addend), out + 64);
}

@inline
function values8(codes: v128, factor: v128, addend: v128, out: usize): void {
  values4(i32x4.extend_low_i16x8_s(codes), factor, addend, out);
  values4(i32x4.extend_high_i16x8_s(codes), factor, addend, out + 32);
}

@inline
function values4(codes: v128, factor: v128, addend: v128, out: usize): void {
  const upper = i64x2.shuffle(codes, codes, 1, 1);
  v128.store(out, f64x2.add(f64x2.mul(factor, f64x2.convert_low_i32x4_s(codes)), addend));
  v128.store(out + 16, f64x2.add(f64x2.mul(factor, f64x2.convert_low_i32x4_s(upper)), addend));
}

// Since the last `takeCounts`.
let inexact: f64 = 0;
let squares: f64 = 0;
let largestError: f64 = 0;
let largestRelative: f64 = 0;

/** Adds what differs between WANTED and FOUND. */
export function countDifferences(): void {
  let differing = i64x2.splat(0);
  let squared = f64x2.splat(0);
  let worst = f64x2.splat(0);
  let largest = f64x2.splat(0);
  for (let i: usize = 0; i < 256; i += 16) {
    const value = v128.load(WANTED + i);
    const error = f64x2.abs(f64x2.sub(value, v128.load(FOUND + i)));
    differing = i64x2.sub(differing, f64x2.ne(error, f64x2.splat(0)));
    squared = f64x2.add(squared, f64x2.mul(error, error));
    worst = f64x2.pmax(worst, error);
    largest = f64x2.pmax(largest, f64x2.abs(value));
  }
  addBlock(differing, squared, worst, most2(largest));
}

/** 1.5 * 2^52: added to a small number, it rounds it half to even, and leaves the integer in the low bits. */
const MAGIC: f64 = 6755399441055744;
/** Steps of one block, int32. */
const STEPS = memory.data(128);

/**
 * How many steps each number of WANTED is above `base`, to a byte each; the middle between two goes up, of 0 to 255 steps, or to the even one, of
 * -127 to 127. What differs between them
 * and base + step * count is counted. `largest`: of the numbers, by magnitude.
 */
@inline
export function roundToSteps(step: f64, base: f64, up: bool, largest: f64, out: usize): void {
  const steps = f64x2.splat(step);
  const bases = f64x2.splat(base);
  const magic = f64x2.splat(MAGIC);
  let differing = i64x2.splat(0);
  let squared = f64x2.splat(0);
  let worst = f64x2.splat(0);
  for (let i: usize = 0; i < 256; i += 32) {
    const low = v128.load(WANTED + i);
    const high = v128.load(WANTED + i + 16);
    let a = f64x2.div(f64x2.sub(low, bases), steps);
    let b = f64x2.div(f64x2.sub(high, bases), steps);
    if (up) {
      // A base that was rounded to float32 may lie above the least number.
      a = byteAbove(f64x2.add(a, f64x2.splat(0.5)));
      b = byteAbove(f64x2.add(b, f64x2.splat(0.5)));
    }
    a = f64x2.add(a, magic);
    b = f64x2.add(b, magic);
    v128.store(STEPS + (i >> 1), i32x4.shuffle(a, b, 0, 2, 4, 6));
    const first = f64x2.abs(f64x2.sub(low, f64x2.add(f64x2.mul(steps, f64x2.sub(a, magic)), bases)));
    const second = f64x2.abs(f64x2.sub(high, f64x2.add(f64x2.mul(steps, f64x2.sub(b, magic)), bases)));
    differing = i64x2.sub(i64x2.sub(differing, f64x2.ne(first, f64x2.splat(0))), f64x2.ne(second, f64x2.splat(0)));
    squared = f64x2.add(f64x2.add(squared, f64x2.mul(first, first)), f64x2.mul(second, second));
    worst = f64x2.pmax(f64x2.pmax(worst, first), second);
  }
  v128.store(out, lowBytes(STEPS));
  v128.store(out + 16, lowBytes(STEPS + 64));
  addBlock(differing, squared, worst, largest);
}

@inline
function byteAbove(x: v128): v128 {
  return f64x2.pmin(f64x2.pmax(f64x2.floor(x), f64x2.splat(0)), f64x2.splat(255));
}

/** The low bytes of 16 integers. */
@inline
function lowBytes(at: usize): v128 {
  const byte = i32x4.splat(0xff);
  const low = i16x8.narrow_i32x4_s(v128.and(v128.load(at), byte), v128.and(v128.load(at + 16), byte));
  const high = i16x8.narrow_i32x4_s(v128.and(v128.load(at + 32), byte), v128.and(v128.load(at + 48), byte));
  return i8x16.narrow_i16x8_u(low, high);
}

/** Lanes of how many numbers of a block differ, of the squares of the differences, and of the largest of those. */
@inline
function addBlock(differing: v128, squared: v128, worst: v128, largest: f64): void {
  const error = most2(worst);
  if (error === 0) return;
  inexact += <f64>(i64x2.extract_lane(differing, 0) + i64x2.extract_lane(differing, 1));
  squares += f64x2.extract_lane(squared, 0) + f64x2.extract_lane(squared, 1);
  largestError = max(largestError, error);
  largestRelative = max(largestRelative, largest === 0 ? 1 : error / largest);
}

/** The larger of two numbers. The scalar `max` compiles to jumps, which numbers of models make at random. */
@inline
export function most2(x: v128): f64 {
  return f64x2.extract_lane(f64x2.pmax(x, i64x2.shuffle(x, x, 1, 0)), 0);
}

@inline
export function least2(x: v128): f64 {
  return f64x2.extract_lane(f64x2.pmin(x, i64x2.shuffle(x, x, 1, 0)), 0);
}

const COUNTS = memory.data(32);

/** Where four float64 numbers are: how many differ, the sum of their squares, the largest difference, and the largest of a block by its largest number. */
export function takeCounts(): usize {
  store<f64>(COUNTS, inexact);
  store<f64>(COUNTS + 8, squares);
  store<f64>(COUNTS + 16, largestError);
  store<f64>(COUNTS + 24, largestRelative);
  inexact = 0;
  squares = 0;
  largestError = 0;
  largestRelative = 0;
  return COUNTS;
}
