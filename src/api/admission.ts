import type { IncomingMessage } from 'node:http';
import { REQUEST_LIMITS } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import { checkHost, checkOrigin, type ListenerNames } from '../security/index.ts';

export const MAX_HEADER_BYTES = REQUEST_LIMITS.headerBytes;
export const MAX_URL_BYTES = REQUEST_LIMITS.urlBytes;

/** The checks of a TCP request that come before any route, in order: size of URL and headers, Host, Origin (docs/spec/security.md §7, §10). */
export function admit(incoming: IncomingMessage, listener: ListenerNames): HearthError | null {
  if (Buffer.byteLength(incoming.url ?? '') > MAX_URL_BYTES) return new HearthError('url_too_long', `The URL is longer than ${MAX_URL_BYTES} bytes.`);
  let bytes = 0;
  for (const part of incoming.rawHeaders) bytes += Buffer.byteLength(part) + 2;
  if (bytes > MAX_HEADER_BYTES) return new HearthError('headers_too_large', `The headers are longer than ${MAX_HEADER_BYTES} bytes.`);
  return (
    checkHost(valuesOf(incoming, 'host'), incoming.url ?? '', listener) ??
    checkSteps(incoming.url ?? '') ??
    checkLength(incoming) ??
    checkCoding(incoming) ??
    checkRepeated(incoming, ['origin', 'content-length', 'content-type', 'content-encoding', 'authorization', 'transfer-encoding']) ??
    checkOrigin({ origin: incoming.headers.origin, fetchSite: asOne(incoming.headers['sec-fetch-site']) }, listener)
  );
}

/** A path that climbs means another one than it says: what stands before us may have judged it by its first words. */
function checkSteps(url: string): HearthError | null {
  const path = url.split(/[?#]/, 1)[0]!;
  if (!/(?:^|[/\\])(?:\.|%2e){1,2}(?:[/\\]|$)/i.test(path)) return null;
  return new HearthError('invalid_value', 'A path may not hold "." or ".." as a step.', { details: { param: 'path' } });
}

/** A body whose end nobody can know is not taken. */
function checkLength({ method, headers }: IncomingMessage): HearthError | null {
  if (method !== 'POST' && method !== 'PUT' && method !== 'PATCH') return null;
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return null;
  return new HearthError('invalid_value', 'A request with a body needs Content-Length or chunks.', { details: { param: 'content-length' } });
}

/** A coding that is not undone here would be read as what it is not. */
function checkCoding({ headers }: IncomingMessage): HearthError | null {
  const coding = headers['transfer-encoding'];
  if (coding === undefined || coding.trim().toLowerCase() === 'chunked') return null;
  return new HearthError('invalid_value', 'Of transfer encodings only chunked is taken; Content-Encoding says how a body is compressed.', {
    details: { param: 'transfer-encoding' },
  });
}

function valuesOf(incoming: IncomingMessage, name: string): string[] {
  return incoming.rawHeaders.filter((_, index, all) => index % 2 === 1 && all[index - 1]!.toLowerCase() === name);
}

function checkRepeated(incoming: IncomingMessage, names: readonly string[]): HearthError | null {
  const repeated = names.find((name) => valuesOf(incoming, name).length > 1);
  return repeated === undefined ? null : new HearthError('invalid_value', `The header ${repeated} is given more than once.`, { details: { param: repeated } });
}

const asOne = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);
