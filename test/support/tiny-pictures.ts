import { crc32, deflateSync } from 'node:zlib';

/** Files of which the headers are right, and the rest is small: tests bend them. */

export function pngChunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

/** A whole PNG of one colour, 8 bits of grey; `more` are chunks in front of the pixels. */
export function png(width: number, height: number, more: readonly Buffer[] = [], pixels = true): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head[8] = 8;
  const rows = pixels ? deflateSync(Buffer.alloc((width + 1) * height)) : Buffer.alloc(4);
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([signature, pngChunk('IHDR', head), ...more, pngChunk('IDAT', rows), pngChunk('IEND', Buffer.alloc(0))]);
}

/** Header, `frames` pictures of one pixel, trailer. */
export function gif(width: number, height: number, frames = 1): Buffer {
  const head = Buffer.alloc(13);
  head.write('GIF89a', 'latin1');
  head.writeUInt16LE(width, 6);
  head.writeUInt16LE(height, 8);
  const frame = Buffer.from([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0]);
  return Buffer.concat([head, ...Array.from({ length: frames }, () => frame), Buffer.from([0x3b])]);
}

const segment = (marker: number, data: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([0xff, marker, (data.length + 2) >> 8, (data.length + 2) & 255]), data]);

export function jpeg(width: number, height: number, more: readonly (readonly [marker: number, data: Buffer])[] = []): Buffer {
  const frame = Buffer.from([8, height >> 8, height & 255, width >> 8, width & 255, 1, 1, 0x11, 0]);
  const parts = more.map(([marker, data]) => segment(marker, data));
  const scan = Buffer.from([0x12, 0xff, 0x00, 0x34, 0xff, 0xd0, 0x56, 0xff, 0xd9]);
  return Buffer.concat([Buffer.from([0xff, 0xd8]), ...parts, segment(0xc0, frame), segment(0xda, Buffer.from([1, 1, 0, 0, 63, 0])), scan]);
}

const riff = (form: string, chunks: readonly Buffer[]): Buffer => {
  const body = Buffer.concat([Buffer.from(form, 'latin1'), ...chunks]);
  const head = Buffer.alloc(8);
  head.write('RIFF', 'latin1');
  head.writeUInt32LE(body.length, 4);
  return Buffer.concat([head, body]);
};

export function riffChunk(type: string, data: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.write(type, 'latin1');
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)]);
}

/** An animation of `frames` empty frames, or a still picture by its VP8 header. */
export function webp(width: number, height: number, frames?: number): Buffer {
  if (frames === undefined) {
    const data = Buffer.alloc(10);
    data.writeUInt16LE(width, 6);
    data.writeUInt16LE(height, 8);
    return riff('WEBP', [riffChunk('VP8 ', data)]);
  }
  const canvas = Buffer.alloc(10);
  canvas.writeUIntLE(width - 1, 4, 3);
  canvas.writeUIntLE(height - 1, 7, 3);
  return riff('WEBP', [riffChunk('VP8X', canvas), ...Array.from({ length: frames }, () => riffChunk('ANMF', Buffer.alloc(16)))]);
}

/** Silence of 16 bits; `claimed` is what the header says of its length in bytes. */
export function wav(sampleRate: number, seconds: number, claimed?: number): Buffer {
  const format = Buffer.alloc(16);
  format.writeUInt16LE(1, 0);
  format.writeUInt16LE(1, 2);
  format.writeUInt32LE(sampleRate, 4);
  format.writeUInt32LE(sampleRate * 2, 8);
  format.writeUInt16LE(2, 12);
  format.writeUInt16LE(16, 14);
  const data = riffChunk('data', Buffer.alloc(Math.round(sampleRate * seconds) * 2));
  if (claimed !== undefined) data.writeUInt32LE(claimed, 4);
  return riff('WAVE', [riffChunk('fmt ', format), data]);
}

/** MPEG-1 layer 3 at 128 kbit/s and 44.1 kHz: each frame is 417 bytes and lasts 26 ms. */
export const mp3 = (frames: number): Buffer =>
  Buffer.concat(Array.from({ length: frames }, () => Buffer.concat([Buffer.from([0xff, 0xfb, 0x90, 0x00]), Buffer.alloc(413)])));

export function flac(sampleRate: number, seconds: number): Buffer {
  const info = Buffer.alloc(34);
  info.writeUInt32BE(sampleRate * 4096, 10);
  const samples = sampleRate * seconds;
  info[13] = (info[13]! & 0xf0) | (Math.floor(samples / 2 ** 32) & 0x0f);
  info.writeUInt32BE(samples % 2 ** 32, 14);
  return Buffer.concat([Buffer.from('fLaC', 'latin1'), Buffer.from([0x80, 0, 0, 34]), info, Buffer.from([0xff, 0xf8])]);
}

/** One page with an Opus header, and one whose position says how long it all is. */
export function ogg(seconds: number): Buffer {
  const page = (position: number, data: Buffer): Buffer => {
    const head = Buffer.alloc(28);
    head.write('OggS', 'latin1');
    head.writeBigUInt64LE(BigInt(position), 6);
    head[26] = 1;
    head[27] = data.length;
    return Buffer.concat([head, data]);
  };
  return Buffer.concat([page(0, Buffer.concat([Buffer.from('OpusHead', 'latin1'), Buffer.alloc(11)])), page(48_000 * seconds, Buffer.alloc(20))]);
}

export const dataUrl = (bytes: Uint8Array, type = 'image/png'): string => `data:${type};base64,${Buffer.from(bytes).toString('base64')}`;
