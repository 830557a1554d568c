// Affine codes of MLX to the blocks of GGML.

import { prepareUnpacking, unpack16 } from './codes';
import { countDifferences, FOUND, most2, roundToSteps, values16, WANTED } from './counts';
import { fromHalf, halfAbove, isFiniteNumber, isLost, load1, toHalf } from './floats';

/** Counts what the 32 codes of a block lose where the scale and bias of the source become d and m. */
function countLost(first: v128, second: v128, scale: f64, bias: f64, d: f64, m: f64): void {
  values16(first, scale, bias, WANTED);
  values16(second, scale, bias, WANTED + 128);
  values16(first, d, m, FOUND);
  values16(second, d, m, FOUND + 128);
  countDifferences();
}

/**
 * Codes of up to 5 bits as MLX packs them -> Q4_1, or Q5_1 for 5 bits: a group becomes `perGroup` blocks of 32 with its scale and bias in fp16. What
 * fp16 does not hold of those is counted.
 */
export function encodeMinimum(codes: usize, bits: i32, scales: usize, biases: usize, dtype: i32, groups: i32, perGroup: i32, out: usize): void {
  prepareUnpacking(bits);
  const nibble = i8x16.splat(15);
  for (let g = 0; g < groups; g++) {
    const scale = load1(scales, dtype, g);
    const bias = load1(biases, dtype, g);
    const d = toHalf(scale);
    const m = toHalf(bias);
    const lost = isLost(scale, d) || isLost(bias, m);
    for (let block = 0; block < perGroup; block++, codes += <usize>4 * bits) {
      const first = unpack16(codes, bits);
      const second = unpack16(codes + <usize>2 * bits, bits);
      store<u32>(out, d | (m << 16));
      out += 4;
      if (bits === 5) {
        store<u32>(out, i8x16.bitmask(i16x8.shl(first, 3)) | (i8x16.bitmask(i16x8.shl(second, 3)) << 16));
        out += 4;
      }
      // Element i shares a byte with element i + 16.
      v128.store(out, v128.or(v128.and(first, nibble), i16x8.shl(v128.and(second, nibble), 4)));
      out += 16;
      if (lost) countLost(first, second, scale, bias, fromHalf(d), fromHalf(m));
    }
  }
}

/** Codes of 8 bits whose biases are -128 times their scales -> Q8_0; what fp16 does not hold of the scales is counted. */
export function encodeCentred(codes: usize, scales: usize, dtype: i32, groups: i32, perGroup: i32, out: usize): void {
  const sign = i8x16.splat(-128);
  for (let g = 0; g < groups; g++) {
    const scale = load1(scales, dtype, g);
    const d = toHalf(scale);
    const lost = isLost(scale, d);
    for (let block = 0; block < perGroup; block++, codes += 32, out += 34) {
      const first = v128.load(codes);
      const second = v128.load(codes + 16);
      store<u16>(out, d);
      v128.store(out + 2, v128.xor(first, sign));
      v128.store(out + 18, v128.xor(second, sign));
      if (lost) countLost(first, second, scale, -128 * <f64>scale, fromHalf(d), -128 * <f64>fromHalf(d));
    }
  }
}

/**
 * Codes of any width -> Q8_0 (docs/spec/formats.md 8.2): d = max|w| / 127 rounded up to fp16, so that nothing is clipped; every difference is counted.
 * Gives false where a scale or bias is not finite, or d would be above 65,504.
 */
export function encodeNearest(codes: usize, bits: i32, scales: usize, biases: usize, dtype: i32, groups: i32, perGroup: i32, out: usize): bool {
  prepareUnpacking(bits);
  for (let g = 0; g < groups; g++) {
    const scale = load1(scales, dtype, g);
    const bias = load1(biases, dtype, g);
    if (!isFiniteNumber(scale, dtype) || !isFiniteNumber(bias, dtype)) return false;
    for (let block = 0; block < perGroup; block++, codes += <usize>4 * bits, out += 34) {
      values16(unpack16(codes, bits), scale, bias, WANTED);
      values16(unpack16(codes + <usize>2 * bits, bits), scale, bias, WANTED + 128);
      let largest = f64x2.splat(0);
      for (let i: usize = 0; i < 256; i += 16) largest = f64x2.pmax(largest, f64x2.abs(v128.load(WANTED + i)));
      const most = most2(largest);
      if (most / 127 > 65504) return false;
      const half = halfAbove(most / 127);
      store<u16>(out, half);
      if (half === 0) memory.fill(out + 2, 0, 32);
      else roundToSteps(fromHalf(half), 0, false, most, out + 2);
    }
  }
  return true;
}
