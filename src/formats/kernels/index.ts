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
  return fromHalf(half);
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

const NOT_FINITE: i32 = 1;
const BEYOND_HALF: i32 = 2;
const NOT_CENTRED: i32 = 4;
const NOT_HALVES: i32 = 8;
const SMALLEST_NORMAL_HALF: f32 = 0.00006103515625;

@inline
function isFinite32(x: f32): bool {
  return (reinterpret<u32>(x) & 0x7f800000) !== 0x7f800000;
}

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
    // Of 16-bit floats, what is not finite has all bits of its own exponent set; load1 gives fp16's infinity as 65,536 and NaN as more.
    if (!isFinite32(scale) || !isFinite32(bias) || (dtype === F16 && max(abs(scale), abs(bias)) >= 65536)) found |= NOT_FINITE;
    else if (max(abs(scale), abs(bias)) > 65504) found |= BEYOND_HALF | NOT_HALVES;
    else if (isLost(scale, toHalf(scale)) || isLost(bias, toHalf(bias))) found |= NOT_HALVES;
    if (bias !== -128 * scale) found |= NOT_CENTRED;
    subnormal += i32(isSubnormalHalf(scale) || isSubnormalHalf(bias));
  }
  return (subnormal << 4) | found;
}

/** Codes of two elements in one byte each -> neighbours in one byte: 16 elements to 8 bytes, twice. */
@inline
function packNeighbours(first: v128, second: v128): v128 {
  const byte = i16x8.splat(0xff);
  return i8x16.narrow_i16x8_u(v128.and(v128.or(first, i16x8.shr_u(first, 4)), byte), v128.and(v128.or(second, i16x8.shr_u(second, 4)), byte));
}

/** Blocks of `stride` bytes with 16 bytes of nibbles at `offset`, elements i and i + 16 in one byte -> packed as MLX does. */
export function nibblesOfBlocks(blocks: usize, stride: i32, offset: i32, count: i32, out: usize): void {
  const nibble = i8x16.splat(15);
  let at = blocks + offset;
  for (let block = 0; block < count; block++, at += stride, out += 16) {
    const halves = v128.load(at);
    v128.store(out, packNeighbours(v128.and(halves, nibble), i8x16.shr_u(halves, 4)));
  }
}

/** Four bits of each of four bytes, next to each other. */
@inline
function fiveBits(nibbles: u32, high: u32): u64 {
  let codes: u64 = 0;
  for (let i = 0; i < 4; i++) codes |= <u64>(((nibbles >>> (8 * i)) & 15) | (((high >>> i) & 1) << 4)) << (5 * i);
  return codes;
}

/** Blocks with 32 fifth bits at `offset` and nibbles after them -> codes of 5 bits as MLX packs them, 20 bytes a block. */
export function fiveBitsOfBlocks(blocks: usize, stride: i32, offset: i32, count: i32, out: usize): void {
  let at = blocks + offset;
  for (let block = 0; block < count; block++, at += stride) {
    const high = load<u32>(at);
    for (let half = 0; half < 32; half += 16) {
      // 16 codes are ten bytes.
      const shift: u32 = half >>> 2;
      const a = fiveBits(load<u32>(at + 4) >>> shift, high >>> half);
      const b = fiveBits(load<u32>(at + 8) >>> shift, high >>> (half + 4));
      const c = fiveBits(load<u32>(at + 12) >>> shift, high >>> (half + 8));
      const d = fiveBits(load<u32>(at + 16) >>> shift, high >>> (half + 12));
      store<u64>(out, a | (b << 20) | (c << 40) | (d << 60));
      store<u16>(out + 8, <u16>(d >>> 4));
      out += 10;
    }
  }
}

/** Blocks with 32 signed codes at `offset` -> the codes plus 128. */
export function bytesOfBlocks(blocks: usize, stride: i32, offset: i32, count: i32, out: usize): void {
  const sign = i8x16.splat(-128);
  let at = blocks + offset;
  for (let block = 0; block < count; block++, at += stride, out += 32) {
    v128.store(out, v128.xor(v128.load(at), sign));
    v128.store(out + 16, v128.xor(v128.load(at + 16), sign));
  }
}

/** The fp16 number at `offset` of each block times `factor`, which the dtype of `out`, F32 or F16, holds. Gives false where one is not finite. */
export function halvesOfBlocks(blocks: usize, stride: i32, offset: i32, count: i32, factor: f32, dtype: i32, out: usize): bool {
  let at = blocks + offset;
  for (let block = 0; block < count; block++, at += stride) {
    const half = <u32>load<u16>(at);
    if ((half & 0x7c00) === 0x7c00) return false;
    if (dtype === F32) {
      store<f32>(out, fromHalf(half) * factor);
      out += 4;
    } else {
      store<u16>(out, factor === 1 ? <u16>half : <u16>toHalf(fromHalf(half) * factor));
      out += 2;
    }
  }
  return true;
}

/** The largest fp16 number by magnitude at `offset` of the blocks; at least 65,536 where one is not finite. */
export function largestHalf(blocks: usize, stride: i32, offset: i32, count: i32): f32 {
  let most: u32 = 0;
  let at = blocks + offset;
  for (let block = 0; block < count; block++, at += stride) most = max(most, <u32>load<u16>(at) & 0x7fff);
  return fromHalf(most);
}

/** Memory from here on is the caller's. */
export function heapBase(): usize {
  return __heap_base;
}
