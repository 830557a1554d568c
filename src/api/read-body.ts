import { pipeline, Readable, type Transform } from 'node:stream';
import type { ReadableStream as NodeReadableStream } from 'node:stream/web';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { HearthError, isHearthError } from '../core/index.ts';
import { parseJsonStrictly } from '../security/index.ts';

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

/**
 * The request's body as a JSON value: content type, declared size, one content encoding, decompressed size, UTF-8, strict
 * JSON, in that order (docs/spec/serving.md §1.2). Throws 415, 413 or 400.
 */
export async function readJsonBody(request: Request, maxBytes: number): Promise<unknown> {
  checkHead(request, maxBytes);
  return parseJsonStrictly(decodeUtf8(await readBytes(decoded(request), maxBytes)));
}

/** The bytes of a JSON body as they came, whatever is in them: for a body that goes on to another server. Throws 415 and 413. */
export async function readRawBody(request: Request, maxBytes: number): Promise<Buffer> {
  checkHead(request, maxBytes);
  return await readBytes(request.body ? Readable.fromWeb(request.body as NodeReadableStream<Uint8Array>) : Readable.from([]), maxBytes);
}

function checkHead(request: Request, maxBytes: number): void {
  const type = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json') throw new HearthError('unsupported_media_type', `The body has the type ${type || 'none'}; application/json is needed.`);
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

function decoded(request: Request): AsyncIterable<Uint8Array> {
  if (!request.body) return Readable.from([]);
  const source = Readable.fromWeb(request.body as NodeReadableStream<Uint8Array>);
  const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity') return source;
  const decoder = DECODERS[encoding];
  if (!decoder) throw new HearthError('unsupported_media_type', `The content encoding ${encoding.slice(0, 50)} is not taken; zstd, gzip, deflate and br are.`);
  return pipeline(source, decoder(), () => {});
}

async function readBytes(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of source) {
      size += chunk.byteLength;
      if (size > maxBytes) throw tooLarge(maxBytes);
      chunks.push(chunk);
    }
  } catch (error) {
    if (isHearthError(error)) throw error;
    throw new HearthError('invalid_json', 'The body ended early, or is not compressed as its content encoding says.', { cause: error });
  }
  return Buffer.concat(chunks);
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new HearthError('invalid_json', 'The body is not UTF-8.', { cause: error });
  }
}

const tooLarge = (maxBytes: number): HearthError => new HearthError('request_too_large', `The body is larger than ${maxBytes} bytes.`);
