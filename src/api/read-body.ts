import { pipeline, type Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { HearthError, type HiddenText, hiddenTextIn } from '../core/index.ts';
import { parseJsonStrictly } from '../security/index.ts';
import { bodyStream } from './incoming-request.ts';

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

export interface JsonBody {
  readonly value: unknown;
  readonly bytes: Buffer;
  /** What people would not see of its texts. */
  readonly hidden: readonly HiddenText[];
}

/**
 * The request's body as a JSON value, beside its bytes without their encoding: content type, declared size, one content encoding, decompressed size, UTF-8, strict
 * JSON, in that order (docs/spec/serving.md §1.2). Throws 415, 413 or 400.
 */
export async function readJsonBody(request: Request, maxBytes: number): Promise<JsonBody> {
  checkHead(request, maxBytes);
  const bytes = await readBytes(decoded(request), maxBytes);
  const text = decodeUtf8(bytes);
  const value = parseJsonStrictly(text);
  return { value, bytes, hidden: hiddenTextIn(text, value) };
}

/** The bytes of a JSON body as they came, whatever is in them: for a body that goes on to another server. Throws 415 and 413. */
export async function readRawBody(request: Request, maxBytes: number): Promise<Buffer> {
  checkHead(request, maxBytes);
  return await readBytes(bodyStream(request), maxBytes);
}

function checkHead(request: Request, maxBytes: number): void {
  const type = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json') throw new HearthError('unsupported_media_type', `The body has the type ${type || 'none'}; application/json is needed.`);
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

function decoded(request: Request): Readable | null {
  const source = bodyStream(request);
  if (source === null) return null;
  const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity') return source;
  const decoder = DECODERS[encoding];
  if (!decoder) throw new HearthError('unsupported_media_type', `The content encoding ${encoding.slice(0, 50)} is not taken; zstd, gzip, deflate and br are.`);
  return pipeline(source, decoder(), () => {});
}

/** By events: an iterator over a stream costs more than the body of most requests. */
function readBytes(source: Readable | null, maxBytes: number): Promise<Buffer> {
  if (source === null) return Promise.resolve(Buffer.alloc(0));
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    const early = (error?: unknown): void =>
      reject(new HearthError('invalid_json', 'The body ended early, or is not compressed as its content encoding says.', { cause: error }));
    const onData = (chunk: Uint8Array): void => {
      size += chunk.byteLength;
      if (size <= maxBytes) chunks.push(chunk);
      else {
        source.off('data', onData);
        source.pause();
        reject(tooLarge(maxBytes));
      }
    };
    source.on('data', onData);
    source.once('end', () =>
      resolve(chunks.length === 1 ? Buffer.from(chunks[0]!.buffer, chunks[0]!.byteOffset, chunks[0]!.byteLength) : Buffer.concat(chunks)),
    );
    source.once('error', early);
    // After the end it closes as well: nothing is wrong then.
    source.once('close', () => {
      if (!source.readableEnded) early();
    });
  });
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

function decodeUtf8(bytes: Buffer): string {
  try {
    return UTF8.decode(bytes);
  } catch (error) {
    throw new HearthError('invalid_json', 'The body is not UTF-8.', { cause: error });
  }
}

const tooLarge = (maxBytes: number): HearthError => new HearthError('request_too_large', `The body is larger than ${maxBytes} bytes.`);
