import type { GgufTypeName } from './block-types.ts';

/** Scalar and array element types, by their number in the file. */
export const GGUF_VALUE_TYPES = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'bool', 'string', 'array', 'u64', 'i64', 'f64'] as const;
export type GgufValueType = (typeof GGUF_VALUE_TYPES)[number];
export type GgufElementType = Exclude<GgufValueType, 'array'>;
export type GgufScalar = number | bigint | boolean | string;

/** 64-bit integers are numbers where that is exact, else bigints. */
export type GgufValue =
  | { readonly type: GgufElementType; readonly value: GgufScalar }
  /** The elements stay encoded until `ggufArray` is asked for them: a header may hold millions. */
  | { readonly type: 'array'; readonly element: GgufElementType; readonly count: number; readonly encoded: Uint8Array };

export interface GgufTensor {
  readonly name: string;
  readonly type: GgufTypeName;
  /** Fastest first: row length, rows, experts. */
  readonly dims: readonly number[];
  readonly elements: number;
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface GgufHeader {
  readonly version: 2 | 3;
  readonly alignment: number;
  /** Where tensor data begin, in bytes from the start of the file. */
  readonly dataOffset: number;
  /** In the order of the file; keys that hearth does not know are kept. */
  readonly keys: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

const text = new TextDecoder('utf-8', { ignoreBOM: true });

/** Decodes an array; strings that are not UTF-8 get replacement characters. */
export function ggufArray(value: GgufValue & { readonly type: 'array' }): GgufScalar[] {
  const { encoded, element, count } = value;
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const out: GgufScalar[] = [];
  let at = 0;
  for (let index = 0; index < count; index += 1) {
    if (element === 'string') {
      const length = view.getUint32(at, true);
      out.push(text.decode(encoded.subarray(at + 8, at + 8 + length)));
      at += 8 + length;
    } else {
      out.push(readScalar(view, at, element));
      at += ELEMENT_BYTES[element];
    }
  }
  return out;
}

/** Bytes of one element; a string has at least its length. */
export const ELEMENT_BYTES: Readonly<Record<GgufElementType, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  u64: 8,
  i64: 8,
  f64: 8,
};

export function readScalar(view: DataView, at: number, type: Exclude<GgufElementType, 'string'>): number | bigint | boolean {
  switch (type) {
    case 'u8':
      return view.getUint8(at);
    case 'i8':
      return view.getInt8(at);
    case 'u16':
      return view.getUint16(at, true);
    case 'i16':
      return view.getInt16(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 'i32':
      return view.getInt32(at, true);
    case 'f32':
      return view.getFloat32(at, true);
    case 'f64':
      return view.getFloat64(at, true);
    case 'bool':
      return view.getUint8(at) !== 0;
    case 'u64':
      return narrow(view.getBigUint64(at, true));
    case 'i64':
      return narrow(view.getBigInt64(at, true));
  }
}

const narrow = (value: bigint): number | bigint => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

export function ggufString(header: Pick<GgufHeader, 'keys'>, key: string): string | undefined {
  const value = header.keys.get(key);
  return value?.type === 'string' ? (value.value as string) : undefined;
}

export function ggufNumber(header: Pick<GgufHeader, 'keys'>, key: string): number | undefined {
  const value = header.keys.get(key);
  return value !== undefined && value.type !== 'array' && typeof value.value === 'number' ? value.value : undefined;
}

export function ggufBoolean(header: Pick<GgufHeader, 'keys'>, key: string): boolean | undefined {
  const value = header.keys.get(key);
  return value?.type === 'bool' ? (value.value as boolean) : undefined;
}

export function ggufStrings(header: Pick<GgufHeader, 'keys'>, key: string): string[] | undefined {
  const value = header.keys.get(key);
  return value?.type === 'array' && value.element === 'string' ? (ggufArray(value) as string[]) : undefined;
}

export function ggufNumbers(header: Pick<GgufHeader, 'keys'>, key: string): number[] | undefined {
  const value = header.keys.get(key);
  return value?.type === 'array' && value.element !== 'string' ? ggufArray(value).map(Number) : undefined;
}
