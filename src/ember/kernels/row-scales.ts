// Scales and biases of some rows as f32, one of each per block, before the rows meet a tile.
import { load4 } from './numbers';
import { S_BF16, S_E8M0, S_F16, S_F32 } from './layout';

// @ts-ignore: decorator
@inline
function put(to: usize, v: v128, twice: bool): void {
  if (!twice) v128.store(to, v);
  else {
    v128.store(to, v128.shuffle<f32>(v, v, 0, 0, 1, 1));
    v128.store(to, v128.shuffle<f32>(v, v, 2, 2, 3, 3), 16);
  }
}

function widenScales<S>(s: usize, b: usize, scales: usize, biases: usize, groups: u32, twice: bool, shift: f32): void {
  const shifts = f32x4.splat(shift), step: usize = twice ? 32 : 16;
  for (let left: i32 = groups; left > 0; left -= 4) {
    const scale = load4<S>(s);
    if (sizeof<S>() == 1) {
      put(scales, f32x4.mul(scale, f32x4.splat(0.5)), twice);
      put(biases, f32x4.mul(scale, f32x4.splat(-6)), twice);
    } else {
      put(scales, scale, twice);
      put(biases, shift == 0 ? load4<S>(b) : f32x4.relaxed_madd(scale, shifts, load4<S>(b)), twice);
    }
    s += 4 * sizeof<S>();
    b += 4 * sizeof<S>();
    scales += step;
    biases += step;
  }
}

/**
 * `groups` scales at s and biases at b, of any number of rows, → one of each per block at `scales` and `biases`; `twice`: a group has two blocks.
 * bias += shift·scale. Small floats of 4 bits: codes are 2·value + 12, so that they are positive, and the bias takes that back.
 * Three zeros follow: the last blocks of a row are read by fours.
 */
export function rowScales(type: i32, s: usize, b: usize, scales: usize, biases: usize, groups: u32, twice: bool, shift: f32): void {
  if (type == S_BF16) widenScales<u16>(s, b, scales, biases, groups, twice, shift);
  else if (type == S_F16) widenScales<i16>(s, b, scales, biases, groups, twice, shift);
  else if (type == S_F32) widenScales<f32>(s, b, scales, biases, groups, twice, shift);
  else if (type == S_E8M0) widenScales<u8>(s, b, scales, biases, groups, twice, shift);
  else widenScales<i8>(s, b, scales, biases, groups, twice, shift);
  const end = (twice ? 2 * groups : groups) << 2;
  v128.store(scales + end, f32x4.splat(0));
  v128.store(biases + end, f32x4.splat(0));
}
