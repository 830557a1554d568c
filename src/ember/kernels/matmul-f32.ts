// Quantised weights × f32 activations (the reference path of the engine): every weight is scale·code + bias, as MLX has it.
// Prepared codes are f32, per 16: see prepare.ts. Types as in matmul-integer.ts; K: u8 = 4-bit, u32 = 8-bit codes.
import { load1, sums4 } from './numbers';

// @ts-ignore: decorator
@inline
function meet4(codes: v128, scale: v128, bias: v128, x: usize, acc: v128): v128 {
  return f32x4.relaxed_madd(f32x4.relaxed_madd(f32x4.convert_i32x4_s(codes), scale, bias), v128.load(x), acc);
}

/** One row and one token; x [k/32][T][32] with `step` bytes from one 32 to the next. */
// @ts-ignore: decorator
@inline
function dotFloats<S, K>(w: usize, s: usize, b: usize, x: usize, step: usize, group: u32, k: u32): v128 {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  const bytes: u32 = sizeof<K>() == 1 ? 4 : 8; // of eight codes
  for (let g: u32 = 0; g < k; g += group) {
    const scale = f32x4.splat(load1<S>(s)), bias = f32x4.splat(load1<S>(b));
    for (let i: u32 = 0; i < group; i += 16) {
      const p = x + (i & 16) * 4;
      const u = v128.load_ext<u8>(w);
      const first = sizeof<K>() == 1 ? v128.and(u, i16x8.splat(15)) : u;
      const second = sizeof<K>() == 1 ? i16x8.shr_u(u, 4) : v128.load_ext<u8>(w, 8);
      a0 = meet4(i32x4.extend_low_i16x8_u(first), scale, bias, p, a0);
      a1 = meet4(i32x4.extend_high_i16x8_u(first), scale, bias, p + 16, a1);
      a2 = meet4(i32x4.extend_low_i16x8_u(second), scale, bias, p + 32, a2);
      a3 = meet4(i32x4.extend_high_i16x8_u(second), scale, bias, p + 48, a3);
      w += 2 * bytes;
      if (i & 16) x += step;
    }
    s += sizeof<S>();
    b += sizeof<S>();
  }
  return f32x4.add(f32x4.add(a0, a1), f32x4.add(a2, a3));
}

/** A tile of `tile` tokens, `full` of them real. yStride in bytes. */
export function tileFloats<S, K>(w: usize, sc: usize, bi: usize, x: usize, y: usize, yStride: usize, tile: usize, full: usize, group: u32, r0: usize, r1: usize, k: u32): void {
  const wrow: usize = sizeof<K>() == 1 ? k >> 1 : k, srow: usize = k / group * <u32>sizeof<S>();
  for (let r = r0; r < r1; r++) {
    for (let t: usize = 0; t < full; t++) {
      const v = dotFloats<S, K>(w + r * wrow, sc + r * srow, bi + r * srow, x + (t << 7), tile << 7, group, k);
      f32.store(y + t * yStride + (r << 2), f32x4.extract_lane(sums4(v, v, v, v), 0));
    }
  }
}
