/** 16-bit floats ↔ numbers. All conversions round once, half to even, and keep subnormals, signed zeros, infinities and NaN. */

const floatScratch = new Float64Array(1);
const bitScratch = new Uint32Array(floatScratch.buffer);

/** Rounds 0 ≤ x < 2^51 to an integer, half to even: above 2^52 the unit of a double is 1. */
const roundHalfToEven = (x: number): number => x + 2 ** 52 - 2 ** 52;

/** Exponent of a positive finite number: the e of m·2^e with 1 ≤ m < 2; −1023 for subnormal doubles. */
function exponentOf(x: number): number {
  floatScratch[0] = x;
  return ((bitScratch[1]! >>> 20) & 0x7ff) - 1023;
}

/**
 * Bits of the nearest value of a small float format, without the sign: `mantissaBits` stored bits, smallest normal exponent `minExponent`.
 * Overflow runs into the code above the largest finite one, as the carry of the sum.
 */
export function nearestMagnitude(x: number, mantissaBits: number, minExponent: number): number {
  const exponent = Math.max(exponentOf(x), minExponent);
  // A power of two: the scaling is exact, and only the rounding below loses bits.
  const units = roundHalfToEven(x * 2 ** (mantissaBits - exponent));
  return (exponent - minExponent) * 2 ** mantissaBits + units;
}

const signOf = (x: number): number => (x < 0 || Object.is(x, -0) ? 0x8000 : 0);

export function numberToF16(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const magnitude = Math.abs(x);
  return signOf(x) | (magnitude >= 65520 ? 0x7c00 : nearestMagnitude(magnitude, 10, -14));
}

/** Unit of a normal fp16 number by its exponent bits. */
const F16_UNITS = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (exponent - 25));

export function f16ToNumber(bits: number): number {
  const exponent = (bits >>> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * F16_UNITS[exponent]!;
}

export function numberToBf16(x: number): number {
  if (Number.isNaN(x)) return 0x7fc0;
  const magnitude = Math.abs(x);
  return signOf(x) | (magnitude >= 2 ** 128 ? 0x7f80 : nearestMagnitude(magnitude, 7, -126));
}

export function bf16ToNumber(bits: number): number {
  const exponent = (bits >>> 7) & 0xff;
  const mantissa = bits & 0x7f;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 255) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * mantissa * 2 ** -133 : sign * (128 + mantissa) * 2 ** (exponent - 134);
}

export type FloatDtype = 'F16' | 'BF16' | 'F32';

export const isFloatDtype = (dtype: string): dtype is FloatDtype => dtype === 'F16' || dtype === 'BF16' || dtype === 'F32';

/** Raw little-endian tensor bytes → float32, exactly; NaN keep their sign and payload. The result owns its buffer. */
export function decodeFloats(dtype: FloatDtype, bytes: Uint8Array): Float32Array {
  if (dtype === 'F32') return new Float32Array(bytes.slice().buffer);
  const half = new Uint16Array(bytes.slice().buffer);
  const result = new Float32Array(half.length);
  const bits = new Uint32Array(result.buffer);
  if (dtype === 'BF16') for (let i = 0; i < half.length; i++) bits[i] = half[i]! << 16;
  else for (let i = 0; i < half.length; i++) bits[i] = f16ToF32Bits(half[i]!);
  return result;
}

/** Float32 → raw little-endian tensor bytes; half to even, NaN keep the upper part of their payload. */
export function encodeFloats(dtype: FloatDtype, values: Float32Array): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.slice().buffer);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const half = new Uint16Array(values.length);
  for (let i = 0; i < half.length; i++) {
    const word = bits[i]!;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) half[i] = nanBits(word, dtype);
    else if (dtype === 'BF16') half[i] = numberToBf16Bits(word);
    // What is a normal number in F16, or rounds to one above the largest: the exponent moves by 112, and the carry of the rounding into it.
    else if (magnitude >= 0x3880_0000 && magnitude < 0x4780_0000)
      half[i] = ((word >>> 16) & 0x8000) | ((magnitude - 0x3800_0000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    else half[i] = numberToF16(values[i]!);
  }
  return new Uint8Array(half.buffer);
}

function f16ToF32Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00) return sign | 0x7f800000 | ((magnitude & 0x3ff) << 13);
  if (magnitude >= 0x400) return sign | ((magnitude << 13) + (112 << 23));
  if (magnitude === 0) return sign;
  const shift = Math.clz32(magnitude) - 21;
  return sign | ((113 - shift) << 23) | (((magnitude << shift) & 0x3ff) << 13);
}

const numberToBf16Bits = (word: number): number => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;

function nanBits(word: number, dtype: FloatDtype): number {
  const sign = (word >>> 16) & 0x8000;
  const payload = dtype === 'BF16' ? (word >>> 16) & 0x7f : (word >>> 13) & 0x3ff;
  const quiet = dtype === 'BF16' ? 0x40 : 0x200;
  return sign | (dtype === 'BF16' ? 0x7f80 : 0x7c00) | (payload || quiet);
}
