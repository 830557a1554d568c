import { HearthError } from '../../core/index.ts';

/** Gives plain numbers back; infinities and NaN are refused, by their exponent bits. `type`: F32, F16 or BF16. */
export function requireFinite(type: string, bytes: Uint8Array, name: string): Uint8Array {
  if (hasInfinite(type, bytes)) throw notFinite(name);
  return bytes;
}

export const notFinite = (name: string): HearthError => new HearthError('convert_not_finite', `The tensor ${name} holds an infinite number or NaN.`);

export function hasInfinite(type: string, bytes: Uint8Array): boolean {
  const wide = type === 'F32';
  const exponent = wide ? 0x7f80_0000 : type === 'F16' ? 0x7c00 : 0x7f80;
  const size = wide ? 4 : 2;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const words = wide
    ? new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4)
    : new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length / 2);
  for (let i = 0; i < words.length; i++) if ((words[i]! & exponent) === exponent) return true;
  return false;
}
