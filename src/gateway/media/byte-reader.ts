/** A place in a file of foreign origin: every read is checked. */
export class UnreadableFile extends Error {}

export interface ByteReader {
  readonly size: number;
  /** Unsigned, big-endian unless `little`. Throws UnreadableFile behind the end. */
  u8(at: number): number;
  u16(at: number, little?: boolean): number;
  u24(at: number, little?: boolean): number;
  u32(at: number, little?: boolean): number;
  /** `length` bytes as Latin-1. */
  ascii(at: number, length: number): string;
  readonly bytes: Uint8Array;
}

export function createByteReader(bytes: Uint8Array): ByteReader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const need = (at: number, length: number): number => {
    if (!Number.isSafeInteger(at) || at < 0 || at + length > bytes.byteLength) throw new UnreadableFile('it ends early');
    return at;
  };
  return {
    bytes,
    size: bytes.byteLength,
    u8: (at) => view.getUint8(need(at, 1)),
    u16: (at, little = false) => view.getUint16(need(at, 2), little),
    u24: (at, little = false) => {
      need(at, 3);
      const [a, b, c] = [view.getUint8(at), view.getUint8(at + 1), view.getUint8(at + 2)];
      return little ? a + b * 0x100 + c * 0x1_0000 : a * 0x1_0000 + b * 0x100 + c;
    },
    u32: (at, little = false) => view.getUint32(need(at, 4), little),
    ascii: (at, length) => String.fromCharCode(...bytes.subarray(need(at, length), at + length)),
  };
}
