import { pack16 } from './codes';
import { F32, isInfinite, load4 } from './floats';

const SMALLEST_SCALE: f32 = 1e-7;

/** The least of four numbers. The scalar `min` compiles to jumps, which numbers of models make at random. */
@inline
function least4(x: v128): f32 {
  const twos = f32x4.pmin(x, i64x2.shuffle(x, x, 1, 0));
  return f32x4.extract_lane(f32x4.pmin(twos, i32x4.shuffle(twos, twos, 1, 0, 3, 2)), 0);
}

@inline
function most4(x: v128): f32 {
  const twos = f32x4.pmax(x, i64x2.shuffle(x, x, 1, 0));
  return f32x4.extract_lane(f32x4.pmax(twos, i32x4.shuffle(twos, twos, 1, 0, 3, 2)), 0);
}

/** 1.5 * 2^23: added to a small number, it rounds it half to even, and leaves the integer in the low bits. */
const MAGIC: f32 = 12582912;

/** Codes of four numbers. */
@inline
function codes4(values: v128, bias: v128, scale: v128, top: v128): v128 {
  const steps = f32x4.div(f32x4.sub(values, bias), scale);
  const code = f32x4.pmin(f32x4.pmax(steps, f32x4.splat(0)), top);
  return v128.and(f32x4.add(code, f32x4.splat(MAGIC)), i32x4.splat(0xff));
}

/**
 * MLX's affine rule over `groups` groups of `group` numbers, a multiple of 16. `scales` and `biases`: float32, one per group. `codes`: packed as MLX
 * does. Gives false at a number that is infinite or NaN.
 */
export function quantise(source: usize, dtype: i32, groups: i32, group: i32, bits: i32, scales: usize, biases: usize, codes: usize): bool {
  const size: usize = dtype === F32 ? 4 : 2;
  const groupBytes = <usize>group * size;
  const step: usize = <usize>4 * size;
  const top = <f32>((1 << bits) - 1);
  const tops = f32x4.splat(top);
  let at = source;
  for (let g = 0; g < groups; g++) {
    if (isInfinite(at, dtype, groupBytes)) return false;
    const end = at + groupBytes;
    let least = load4(at, dtype);
    let most = least;
    for (let i = at + step; i < end; i += step) {
      const values = load4(i, dtype);
      least = f32x4.pmin(least, values);
      most = f32x4.pmax(most, values);
    }
    const smallest = least4(least);
    const largest = most4(most);
    let scale: f32 = (largest - smallest) / top;
    if (!(scale > SMALLEST_SCALE)) scale = SMALLEST_SCALE;
    const fromMin = abs(smallest) > abs(largest);
    if (!fromMin) scale = -scale;
    const edge = fromMin ? smallest : largest;
    // The edge becomes a whole number of steps, so that it is kept.
    const steps = nearest(edge / scale);
    let bias: f32 = 0;
    if (steps !== 0) {
      scale = edge / steps;
      bias = edge;
    }
    store<f32>(scales + (<usize>g << 2), scale);
    store<f32>(biases + (<usize>g << 2), bias);
    const scale4 = f32x4.splat(scale);
    const bias4 = f32x4.splat(bias);
    for (; at < end; at += <usize>4 * step) {
      const a = codes4(load4(at, dtype), bias4, scale4, tops);
      const b = codes4(load4(at + step, dtype), bias4, scale4, tops);
      const c = codes4(load4(at + <usize>2 * step, dtype), bias4, scale4, tops);
      const d = codes4(load4(at + <usize>3 * step, dtype), bias4, scale4, tops);
      const bytes = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
      pack16(bytes, bits, codes);
      codes += <usize>2 * bits;
    }
  }
  return true;
}
