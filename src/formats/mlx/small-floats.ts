import { nearestMagnitude } from '../safetensors/index.ts';

/** E2M1: code → value; code 8 is −0. */
export const FP4_VALUES: readonly number[] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

/** E4M3 as MLX reads it: 0x7F is 480 and 0xFF −480, not NaN. */
export const E4M3_VALUES: readonly number[] = Array.from({ length: 256 }, (_, code) => {
  const exponent = (code >>> 3) & 15;
  const mantissa = code & 7;
  const magnitude = exponent === 0 ? (mantissa / 8) * 2 ** -6 : (1 + mantissa / 8) * 2 ** (exponent - 7);
  return code & 0x80 ? -magnitude : magnitude;
});

/** E8M0: byte 255 is infinity, byte 0 is 2^−127. */
export const E8M0_VALUES: readonly number[] = Array.from({ length: 256 }, (_, byte) => (byte === 255 ? Number.POSITIVE_INFINITY : 2 ** (byte - 127)));

/** Nearest finite E4M3 code, half to even; beyond 448 the largest. */
export function numberToE4m3(x: number): number {
  return (x < 0 || Object.is(x, -0) ? 0x80 : 0) | Math.min(nearestMagnitude(Math.min(Math.abs(x), 448), 3, -6), 0x7e);
}

/** Nearest E2M1 code; between equally near ones the smaller code, so that nothing becomes −0. */
export function numberToFp4(x: number): number {
  let best = 0;
  for (let code = 1; code < 16; code++) if (Math.abs(FP4_VALUES[code]! - x) < Math.abs(FP4_VALUES[best]! - x)) best = code;
  return best;
}
