import { SCALE_TYPE } from '../kernel-interface.ts';

/** Views over one memory; every offset in bytes. */
export interface Bytes {
  readonly u8: Uint8Array;
  readonly i8: Int8Array;
  readonly i16: Int16Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
}

export function viewBytes(buffer: ArrayBuffer | SharedArrayBuffer): Bytes {
  const whole = Math.floor(buffer.byteLength / 4);
  return {
    u8: new Uint8Array(buffer),
    i8: new Int8Array(buffer),
    i16: new Int16Array(buffer, 0, whole * 2),
    u16: new Uint16Array(buffer, 0, whole * 2),
    u32: new Uint32Array(buffer, 0, whole),
    f32: new Float32Array(buffer, 0, whole),
  };
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

export function bfloat16ToNumber(half: number): number {
  word[0] = half << 16;
  return float[0]!;
}

/** Round half to even; NaN stays NaN. */
export function numberToBfloat16(value: number): number {
  float[0] = value;
  const bits = word[0]!;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

export function float16ToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** E4M3: sign, 4 bits of exponent, 3 of fraction; 0x7f is 480 here. */
export function e4m3ToNumber(byte: number): number {
  const exponent = (byte >> 3) & 15;
  const size = exponent === 0 ? (byte & 7) * 2 ** -9 : (8 + (byte & 7)) * 2 ** (exponent - 10);
  return byte & 0x80 ? -size : size;
}

/** Value `index` of a list of scales at byte offset `at`. */
export function readScale(bytes: Bytes, type: number, at: number, index: number): number {
  if (type === SCALE_TYPE.e8m0) return 2 ** (bytes.u8[at + index]! - 127);
  if (type === SCALE_TYPE.e4m3) return e4m3ToNumber(bytes.u8[at + index]!);
  return readPlain(bytes, type, at, index);
}

/** Value `index` of a list of plain values or scales at byte offset `at`; PLAIN_TYPE and SCALE_TYPE have the same codes. */
export function readPlain(bytes: Bytes, type: number, at: number, index: number): number {
  if (type === SCALE_TYPE.f32) return bytes.f32[at / 4 + index]!;
  const half = bytes.u16[at / 2 + index]!;
  return type === SCALE_TYPE.f16 ? float16ToNumber(half) : bfloat16ToNumber(half);
}

/** Round half to even, as the SIMD `nearest` does. */
export function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest < 0.5) return low;
  if (rest > 0.5) return low + 1;
  return low % 2 === 0 ? low : low + 1;
}
