import { GGUF_VALUE_TYPES, type GgufValueType } from '../../src/formats/gguf/header.ts';
import { type GgufTypeName, ggufTypeByName } from '../../src/formats/gguf/index.ts';

/** Raw parts of GGUF files for tests: nothing is checked, so that broken files can be made. */
export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

export const u64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

export const text = (value: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([u64(bytes.length), bytes]);
};

export const typeId = (type: GgufValueType): Buffer => u32(GGUF_VALUE_TYPES.indexOf(type));
export const key = (name: string, type: GgufValueType, value: Uint8Array): Buffer => Buffer.concat([text(name), typeId(type), value]);
export const textKey = (name: string, value: string | Uint8Array): Buffer => key(name, 'string', text(value));
export const numberKey = (name: string, value: number): Buffer => key(name, 'u32', u32(value));
export const floatKey = (name: string, value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return key(name, 'f32', bytes);
};
export const listKey = (name: string, element: GgufValueType, elements: readonly Uint8Array[], count = elements.length): Buffer =>
  key(name, 'array', Buffer.concat([typeId(element), u64(count), ...elements]));

/** One tensor info. */
export const tensor = (name: string, dims: readonly (number | bigint)[], type: number, offset: number | bigint, rank = dims.length): Buffer =>
  Buffer.concat([text(name), u32(rank), ...dims.map(u64), u32(type), u64(offset)]);

export interface RawFile {
  readonly magic?: string;
  readonly version?: Buffer;
  readonly keys?: readonly Buffer[];
  readonly keyCount?: number | bigint;
  readonly tensors?: readonly Buffer[];
  readonly tensorCount?: number | bigint;
  readonly dataBytes?: number;
  readonly alignment?: number;
}

export const ARCHITECTURE = textKey('general.architecture', 'llama');

/** A small sound file where nothing is changed: one F32 tensor of 8 numbers. */
export function rawFile(file: RawFile = {}): Buffer {
  const keys = file.keys ?? [ARCHITECTURE];
  const tensors = file.tensors ?? [tensor('output_norm.weight', [8], 0, 0)];
  const head = Buffer.concat([
    Buffer.from(file.magic ?? 'GGUF'),
    file.version ?? u32(3),
    u64(file.tensorCount ?? tensors.length),
    u64(file.keyCount ?? keys.length),
    ...keys,
    ...tensors,
  ]);
  const alignment = file.alignment ?? 32;
  const padding = (alignment - (head.length % alignment)) % alignment;
  return Buffer.concat([head, Buffer.alloc(padding + (file.dataBytes ?? 32))]);
}

/** Where the fp16 or bf16 numbers of a block lie. */
const HALVES: Readonly<Partial<Record<GgufTypeName, readonly number[]>>> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q6_K: [208],
  F16: [0],
  BF16: [0],
};

/** Makes random bytes sound blocks of a type: their numbers of 16 bits are finite, all else is as it was. */
export function keepFinite(type: GgufTypeName, blocks: Uint8Array): void {
  const { bytes } = ggufTypeByName(type);
  for (let at = 0; at < blocks.length; at += bytes) for (const offset of HALVES[type] ?? []) blocks[at + offset + 1]! &= 0xbb;
}
