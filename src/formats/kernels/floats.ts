/** Dtypes of the source. */
export const F32: i32 = 0;
export const F16: i32 = 1;

/** Four numbers of the source, as float32. */
@inline
export function load4(at: usize, dtype: i32): v128 {
  if (dtype === F32) return v128.load(at);
  const half = v128.load_ext<u16>(at);
  if (dtype !== F16) return i32x4.shl(half, 16);
  // Exponent and fraction at their places in float32, and 112 added to the exponent by a product, which is exact for subnormal numbers too.
  const size = f32x4.mul(i32x4.shl(v128.and(half, i32x4.splat(0x7fff)), 13), f32x4.splat(reinterpret<f32>(<u32>0x77800000)));
  return v128.or(size, i32x4.shl(v128.and(half, i32x4.splat(0x8000)), 16));
}

/** Whether the bytes of a group hold an infinite number or NaN: all bits of an exponent are set. */
@inline
export function isInfinite(at: usize, dtype: i32, bytes: usize): bool {
  let found = i64x2.splat(0);
  if (dtype === F32) {
    const exponent = i32x4.splat(0x7f800000);
    for (let i: usize = 0; i < bytes; i += 16) found = v128.or(found, i32x4.eq(v128.and(v128.load(at + i), exponent), exponent));
  } else {
    const exponent = i16x8.splat(dtype === F16 ? 0x7c00 : 0x7f80);
    for (let i: usize = 0; i < bytes; i += 16) found = v128.or(found, i16x8.eq(v128.and(v128.load(at + i), exponent), exponent));
  }
  return v128.any_true(found);
}

/** Whether no number of a tensor is infinite or NaN. */
export function areFinite(at: usize, dtype: i32, bytes: usize): bool {
  const whole = bytes & ~15;
  if (isInfinite(at, dtype, whole)) return false;
  const size: usize = dtype === F32 ? 4 : 2;
  const exponent: u32 = dtype === F32 ? 0x7f800000 : dtype === F16 ? 0x7c00 : 0x7f80;
  for (let i = whole; i < bytes; i += size) {
    const word = dtype === F32 ? load<u32>(at + i) : <u32>load<u16>(at + i);
    if ((word & exponent) === exponent) return false;
  }
  return true;
}

/** One number of the source. */
@inline
export function load1(at: usize, dtype: i32, i: i32): f32 {
  if (dtype === F32) return load<f32>(at + (<usize>i << 2));
  const half = <u32>load<u16>(at + (<usize>i << 1));
  if (dtype !== F16) return reinterpret<f32>(half << 16);
  return fromHalf(half);
}

/** Bits of the nearest fp16 number of a finite one of at most 65,504, half to even. */
@inline
export function toHalf(x: f32): u32 {
  const word = reinterpret<u32>(x);
  const size = word & 0x7fffffff;
  const sign = (word >>> 16) & 0x8000;
  // Added to 1/2, a subnormal number is rounded to units of 2^-24.
  if (size < 0x38800000) return sign | (reinterpret<u32>(reinterpret<f32>(size) + 0.5) - 0x3f000000);
  return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
}

@inline
export function fromHalf(half: u32): f32 {
  return reinterpret<f32>(((half & 0x7fff) << 13) | ((half & 0x8000) << 16)) * reinterpret<f32>(<u32>0x77800000);
}

@inline
export function isLost(x: f32, half: u32): bool {
  return fromHalf(half) !== x;
}

/** Whether a number that load1 gave is finite: it gives fp16's infinity as 65,536 and NaN as more. */
@inline
export function isFiniteNumber(x: f32, dtype: i32): bool {
  return isFinite32(x) && (dtype !== F16 || abs(x) < 65536);
}

@inline
function isFinite32(x: f32): bool {
  return (reinterpret<u32>(x) & 0x7f800000) !== 0x7f800000;
}

/** The smallest fp16 number that is not below x, 0 to 65,504; its bits. */
@inline
export function halfAbove(x: f64): u32 {
  const near = toHalf(<f32>x);
  const below = near - u32(near > 0);
  return near + u32(<f64>fromHalf(near) < x) - (u32(<f64>fromHalf(below) >= x) & u32(near > 0));
}
