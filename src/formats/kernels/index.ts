// Loops over all weights of a model, compiled to formats.wasm. Tested against the plain TypeScript of ../mlx and ../gguf.

/** Dtypes of the source. */
const F32: i32 = 0;
const F16: i32 = 1;

const SMALLEST_SCALE: f32 = 1e-7;

/** Four numbers of the source, as float32. */
@inline
function load4(at: usize, dtype: i32): v128 {
  if (dtype === F32) return v128.load(at);
  const half = v128.load_ext<u16>(at);
  if (dtype !== F16) return i32x4.shl(half, 16);
  // Exponent and fraction at their places in float32, and 112 added to the exponent by a product, which is exact for subnormal numbers too.
  const size = f32x4.mul(i32x4.shl(v128.and(half, i32x4.splat(0x7fff)), 13), f32x4.splat(reinterpret<f32>(<u32>0x77800000)));
  return v128.or(size, i32x4.shl(v128.and(half, i32x4.splat(0x8000)), 16));
}

/** Whether the bytes of a group hold an infinite number or NaN: all bits of an exponent are set. */
@inline
function isInfinite(at: usize, dtype: i32, bytes: usize): bool {
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

@inline
function least4(x: v128): f32 {
  return min(min(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)), min(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)));
}

@inline
function most4(x: v128): f32 {
  return max(max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)), max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)));
}

/** Codes of four numbers; what is no number becomes 0. */
@inline
function codes4(values: v128, bias: v128, scale: v128, top: v128): v128 {
  const code = f32x4.nearest(f32x4.div(f32x4.sub(values, bias), scale));
  return i32x4.trunc_sat_f32x4_s(f32x4.min(f32x4.max(code, f32x4.splat(0)), top));
}

/**
 * MLX's affine rule over `groups` groups of `group` numbers, a multiple of 16. `scales` and `biases`: float32, one per group. `codes`: nibbles,
 * the first of two in the lower one, when `bits` is 4, else a byte each. Gives false at a number that is infinite or NaN.
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
      least = f32x4.min(least, values);
      most = f32x4.max(most, values);
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
      if (bits === 4) {
        // Neighbours are the two bytes of a 16-bit lane.
        const pairs = v128.and(v128.or(bytes, i16x8.shr_u(bytes, 4)), i16x8.splat(0xff));
        v128.store64_lane(codes, i8x16.narrow_i16x8_u(pairs, pairs), 0);
        codes += 8;
      } else {
        v128.store(codes, bytes);
        codes += 16;
      }
    }
  }
  return true;
}

/** One number of the source. */
@inline
function load1(at: usize, dtype: i32, i: i32): f32 {
  if (dtype === F32) return load<f32>(at + (<usize>i << 2));
  const half = <u32>load<u16>(at + (<usize>i << 1));
  if (dtype !== F16) return reinterpret<f32>(half << 16);
  return reinterpret<f32>(((half & 0x7fff) << 13) | ((half & 0x8000) << 16)) * reinterpret<f32>(<u32>0x77800000);
}

/** Bits of the nearest fp16 number of a finite one of at most 65,504, half to even. */
@inline
function toHalf(x: f32): u32 {
  const word = reinterpret<u32>(x);
  const size = word & 0x7fffffff;
  const sign = (word >>> 16) & 0x8000;
  // Added to 1/2, a subnormal number is rounded to units of 2^-24.
  if (size < 0x38800000) return sign | (reinterpret<u32>(reinterpret<f32>(size) + 0.5) - 0x3f000000);
  return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
}

@inline
function fromHalf(half: u32): f32 {
  return reinterpret<f32>(((half & 0x7fff) << 13) | ((half & 0x8000) << 16)) * reinterpret<f32>(<u32>0x77800000);
}

@inline
function isLost(x: f32, half: u32): bool {
  return fromHalf(half) !== x;
}

/**
 * Codes of 4 bits as MLX packs them → Q4_1: a group becomes `perGroup` blocks of 32 with its scale and bias in fp16. Gives how many groups have a
 * scale or bias that fp16 does not hold.
 */
export function encodeQ41(codes: usize, scales: usize, biases: usize, dtype: i32, groups: i32, perGroup: i32, out: usize): i32 {
  let lost = 0;
  const nibble = i8x16.splat(15);
  for (let g = 0; g < groups; g++) {
    const scale = load1(scales, dtype, g);
    const bias = load1(biases, dtype, g);
    const d = toHalf(scale);
    const m = toHalf(bias);
    lost += i32(isLost(scale, d) || isLost(bias, m));
    for (let block = 0; block < perGroup; block++) {
      const packed = v128.load(codes);
      const even = v128.and(packed, nibble);
      const odd = i8x16.shr_u(packed, 4);
      // In a block, element i shares a byte with element i + 16.
      const first = i8x16.shuffle(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const second = i8x16.shuffle(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      store<u32>(out, d | (m << 16));
      v128.store(out + 4, v128.or(first, i16x8.shl(second, 4)));
      codes += 16;
      out += 20;
    }
  }
  return lost;
}

/** Memory from here on is the caller's. */
export function heapBase(): usize {
  return __heap_base;
}
