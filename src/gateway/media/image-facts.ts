import { type ByteReader, createByteReader, UnreadableFile } from './byte-reader.ts';

/** What the headers of a picture say; nothing is decoded. */
export interface ImageFacts {
  readonly mediaType: 'image/png' | 'image/jpeg' | 'image/gif' | 'image/webp';
  readonly width: number;
  readonly height: number;
  /** 1 for a still picture; of an animation counted up to `maxFrames` + 1. */
  readonly frames: number;
  /** Bytes of EXIF, comments, profiles and other things that are no picture. */
  readonly metadataBytes: number;
  /** Bytes after the end of the picture. */
  readonly trailingBytes: number;
}

type Body = Omit<ImageFacts, 'mediaType'>;

/** Facts of a PNG, JPEG, GIF or WebP; null for anything else. Throws UnreadableFile for one that breaks its format or has no end. */
export function readImageFacts(bytes: Uint8Array, maxFrames: number): ImageFacts | null {
  const file = createByteReader(bytes);
  const starts = (text: string, at = 0): boolean => file.size >= at + text.length && file.ascii(at, text.length) === text;
  if (starts('\x89PNG\r\n\x1a\n')) return { mediaType: 'image/png', ...pngFacts(file) };
  if (starts('\xff\xd8\xff')) return { mediaType: 'image/jpeg', ...jpegFacts(file) };
  if (starts('GIF87a') || starts('GIF89a')) return { mediaType: 'image/gif', ...gifFacts(file, maxFrames) };
  if (starts('RIFF') && starts('WEBP', 8)) return { mediaType: 'image/webp', ...webpFacts(file, maxFrames) };
  return null;
}

const PNG_TEXTS = new Set(['tEXt', 'zTXt', 'iTXt', 'eXIf', 'iCCP', 'sPLT']);

/** PNG 3rd edition: length, type, data and checksum of each chunk, from IHDR to IEND. */
function pngFacts(file: ByteReader): Body {
  if (file.ascii(12, 4) !== 'IHDR' || file.u32(8) !== 13) throw new UnreadableFile('its first chunk is not IHDR');
  const [width, height] = [file.u32(16), file.u32(20)];
  let [frames, metadataBytes, pixels] = [1, 0, false];
  for (let at = 8; ; ) {
    const [length, type] = [file.u32(at), file.ascii(at + 4, 4)];
    const next = at + 12 + length;
    if (next > file.size) throw new UnreadableFile('it ends early');
    if (PNG_TEXTS.has(type)) metadataBytes += length;
    if (type === 'acTL') frames = file.u32(at + 8);
    if (type === 'IDAT') pixels = true;
    if (type === 'IEND') {
      if (!pixels) throw new UnreadableFile('it holds no picture');
      return { width, height, frames, metadataBytes, trailingBytes: file.size - next };
    }
    at = next;
  }
}

/** ITU T.81: markers and their segments; the data of a scan goes on to the next marker that is no restart. */
function jpegFacts(file: ByteReader): Body {
  let size: { readonly width: number; readonly height: number } | null = null;
  let metadataBytes = 0;
  for (let at = 2; ; ) {
    if (file.u8(at) !== 0xff) throw new UnreadableFile('a marker is missing');
    const marker = file.u8(at + 1);
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (marker === 0xd9) {
      if (size === null) throw new UnreadableFile('it holds no picture');
      return { ...size, frames: 1, metadataBytes, trailingBytes: file.size - at - 2 };
    }
    const length = file.u16(at + 2);
    if (length < 2 || at + 2 + length > file.size) throw new UnreadableFile('a segment is longer than the file');
    if ((marker >= 0xe0 && marker <= 0xef) || marker === 0xfe) metadataBytes += length;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) size = { height: file.u16(at + 5), width: file.u16(at + 7) };
    at += 2 + length;
    if (marker === 0xda) at = scanEnd(file, at);
  }
}

function scanEnd(file: ByteReader, start: number): number {
  for (let at = start; ; ) {
    const found = file.bytes.indexOf(0xff, at);
    if (found < 0) throw new UnreadableFile('it ends early');
    const marker = file.u8(found + 1);
    // A stuffed zero and the restarts belong to the scan.
    if (marker !== 0 && !(marker >= 0xd0 && marker <= 0xd7)) return found;
    at = found + 2;
  }
}

/** GIF89a: descriptors of pictures, extensions, the trailer. */
function gifFacts(file: ByteReader, maxFrames: number): Body {
  const [width, height] = [file.u16(6, true), file.u16(8, true)];
  const tableBytes = (flags: number): number => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  let [frames, metadataBytes] = [0, 0];
  for (let at = 13 + tableBytes(file.u8(10)); ; ) {
    const block = file.u8(at);
    if (block === 0x3b) {
      if (frames === 0) throw new UnreadableFile('it holds no picture');
      return { width, height, frames, metadataBytes, trailingBytes: file.size - at - 1 };
    }
    if (block === 0x2c) {
      frames += 1;
      if (frames > maxFrames) return { width, height, frames, metadataBytes, trailingBytes: 0 };
      at = blocksEnd(file, at + 11 + tableBytes(file.u8(at + 9)));
    } else if (block === 0x21) {
      const label = file.u8(at + 1);
      const end = blocksEnd(file, at + 2);
      if (label === 0xfe || label === 0xff || label === 0x01) metadataBytes += end - at;
      at = end;
    } else throw new UnreadableFile('a block is not of the format');
  }
}

function blocksEnd(file: ByteReader, start: number): number {
  let at = start;
  for (let length = file.u8(at); length !== 0; length = file.u8(at)) at += 1 + length;
  return at + 1;
}

/** RFC 9649: a RIFF file of chunks, each padded to an even length. */
function webpFacts(file: ByteReader, maxFrames: number): Body {
  const end = 8 + file.u32(4, true);
  if (end > file.size) throw new UnreadableFile('it ends early');
  let size: { readonly width: number; readonly height: number } | null = null;
  let [frames, metadataBytes] = [0, 0];
  for (let at = 12; at + 8 <= end && frames <= maxFrames; ) {
    const [type, length, data] = [file.ascii(at, 4), file.u32(at + 4, true), at + 8];
    if (data + length > end) throw new UnreadableFile('a chunk is longer than the file');
    if (type === 'VP8X') size = { width: file.u24(data + 4, true) + 1, height: file.u24(data + 7, true) + 1 };
    if (type === 'VP8 ') size ??= { width: file.u16(data + 6, true) & 0x3fff, height: file.u16(data + 8, true) & 0x3fff };
    if (type === 'VP8L') size ??= { width: (file.u32(data + 1, true) & 0x3fff) + 1, height: ((file.u32(data + 1, true) >>> 14) & 0x3fff) + 1 };
    if (type === 'ANMF' || type === 'VP8 ' || type === 'VP8L') frames += 1;
    if (type === 'EXIF' || type === 'XMP ' || type === 'ICCP') metadataBytes += length;
    at = data + length + (length % 2);
  }
  if (size === null || frames === 0) throw new UnreadableFile('it holds no picture');
  return { ...size, frames, metadataBytes, trailingBytes: file.size - end };
}
