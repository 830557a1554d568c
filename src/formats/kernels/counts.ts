// The numbers of one block in float64, and how far those that were written are from those of the source.

/** 32 numbers of the source, and those that are written for them. */
export const WANTED = memory.data(256);
export const FOUND = memory.data(256);

/** factor * code + addend of 16 codes without a sign. */
@inline
export function values16(codes: v128, factor: f64, addend: f64, out: usize): void {
  const low = i16x8.extend_low_i8x16_u(codes);
  const high = i16x8.extend_high_i8x16_u(codes);
  values8(low, f64x2.splat(factor), f64x2.splat(addend), out);
  values8(high, f64x2.splat(factor), f64x2.splat(addend), out + 64);
}

/** The same of codes with a sign. */
@inline
export function signedValues16(codes: v128, factor: f64, addend: f64, out: usize): void {
  const low = i16x8.extend_low_i8x16_s(codes);
  const high = i16x8.extend_high_i8x16_s(codes);
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
  const error = most2(worst);
  if (error === 0) return;
  const size = most2(largest);
  inexact += <f64>(i64x2.extract_lane(differing, 0) + i64x2.extract_lane(differing, 1));
  squares += f64x2.extract_lane(squared, 0) + f64x2.extract_lane(squared, 1);
  largestError = max(largestError, error);
  largestRelative = max(largestRelative, size === 0 ? 1 : error / size);
}

@inline
function most2(x: v128): f64 {
  return max(f64x2.extract_lane(x, 0), f64x2.extract_lane(x, 1));
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
