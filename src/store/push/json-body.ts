import type { PushRequest } from './push-hub.ts';

/** Body and headers of a request with one JSON value. */
export function jsonBody(value: unknown, type = 'application/json'): Required<Pick<PushRequest, 'body' | 'headers'>> {
  const pieces = Buffer.from(JSON.stringify(value));
  return { headers: { 'content-type': type, accept: type }, body: () => ({ pieces, length: pieces.length }) };
}
