/** Bits per element of every dtype that a safetensors header may name (docs/spec/formats.md §1.1). */
export const DTYPE_BITS = {
  BOOL: 8,
  U8: 8,
  I8: 8,
  U16: 16,
  I16: 16,
  F16: 16,
  BF16: 16,
  U32: 32,
  I32: 32,
  F32: 32,
  U64: 64,
  I64: 64,
  F64: 64,
  C64: 64,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
} as const;

export type Dtype = keyof typeof DTYPE_BITS;

export const isDtype = (value: string): value is Dtype => Object.hasOwn(DTYPE_BITS, value);

/** Number of elements; 1 for a scalar (shape `[]`). Exact below 2^53, Infinity or rounded above. */
export const elementCount = (shape: readonly number[]): number => shape.reduce((product, dimension) => product * dimension, 1);

/** Bytes of a tensor; not a whole number where a sub-byte dtype does not fill its last byte. */
export const tensorBytes = (dtype: Dtype, shape: readonly number[]): number => (elementCount(shape) * DTYPE_BITS[dtype]) / 8;
