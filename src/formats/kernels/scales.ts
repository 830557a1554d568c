import { isFiniteNumber, isLost, load1, toHalf } from './floats';

const NOT_FINITE: i32 = 1;
const BEYOND_HALF: i32 = 2;
const NOT_CENTRED: i32 = 4;
const NOT_HALVES: i32 = 8;
const SMALLEST_NORMAL_HALF: f32 = 0.00006103515625;

@inline
function isSubnormalHalf(x: f32): bool {
  return x !== 0 && abs(x) < SMALLEST_NORMAL_HALF;
}

/**
 * What the scales and biases of `groups` groups are like: how many groups have one that is subnormal in fp16, times 16, and four bits that say
 * whether any is not finite, any is above 65,504, any bias is not -128 times its scale, any is no fp16 number. `groups`: at most 2^26.
 */
export function lookAtScales(scales: usize, biases: usize, dtype: i32, groups: i32): i32 {
  let found = 0;
  let subnormal = 0;
  for (let g = 0; g < groups; g++) {
    const scale = load1(scales, dtype, g);
    const bias = load1(biases, dtype, g);
    if (!isFiniteNumber(scale, dtype) || !isFiniteNumber(bias, dtype)) found |= NOT_FINITE;
    else if (max(abs(scale), abs(bias)) > 65504) found |= BEYOND_HALF | NOT_HALVES;
    else if (isLost(scale, toHalf(scale)) || isLost(bias, toHalf(bias))) found |= NOT_HALVES;
    if (bias !== -128 * scale) found |= NOT_CENTRED;
    subnormal += i32(isSubnormalHalf(scale) || isSubnormalHalf(bias));
  }
  return (subnormal << 4) | found;
}
