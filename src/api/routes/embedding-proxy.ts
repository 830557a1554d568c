import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { HearthError } from '../../core/index.ts';
import type { CallContext } from '../bind.ts';
import { readRawBody } from '../read-body.ts';

export interface EmbeddingProxyOptions {
  /** Base URL of another server's API: requests go to `<base>/embeddings` where it ends in /v1, else to `<base>/v1/embeddings`. */
  readonly backend: string;
  readonly maxBodyBytes: number;
  /** Milliseconds; docs/spec/serving.md §1.6. */
  readonly limits?: Partial<typeof LIMITS>;
}

const LIMITS = { connectMs: 3_000, readMs: 120_000, writeMs: 30_000 };
/** An answer that is larger is no list of vectors. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/** Sends the body of /v1/embeddings on byte for byte, and the answer back. Throws upstream_unreachable (502), upstream_timeout (504). */
export const embeddingProxy = ({ backend, maxBodyBytes, limits }: EmbeddingProxyOptions) => {
  const url = embeddingsUrl(backend);
  const times = { ...LIMITS, ...limits };
  return async (_input: unknown, { request, signal }: Pick<CallContext, 'request' | 'signal'>): Promise<Response> => {
    const body = await readRawBody(request, maxBodyBytes);
    const headers: Record<string, string | number> = { 'content-type': 'application/json', 'content-length': body.byteLength };
    for (const name of ['accept', 'content-encoding']) if (request.headers.has(name)) headers[name] = request.headers.get(name)!;
    const answer = await send(url, headers, body, times, signal);
    const bytes = await collect(answer, url);
    return new Response(bytes, { status: answer.statusCode ?? 502, headers: { 'content-type': answer.headers['content-type'] ?? 'application/json' } });
  };
};

function embeddingsUrl(backend: string): URL {
  const base = backend.replace(/\/+$/, '');
  return new URL(/\/v\d+$/.test(base) ? `${base}/embeddings` : `${base}/v1/embeddings`);
}

function send(url: URL, headers: Record<string, string | number>, body: Buffer, times: typeof LIMITS, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const outgoing = start(url, { method: 'POST', headers, signal, agent: false });
    let timer: NodeJS.Timeout | undefined;
    const within = (ms: number, what: string) => {
      clearTimeout(timer);
      timer = setTimeout(() => outgoing.destroy(slow(url, what, ms)), ms);
    };
    within(times.connectMs, 'took no connection');
    outgoing.on('socket', (socket) => socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => within(times.writeMs, 'took no body')));
    outgoing.on('finish', () => within(times.readMs, 'gave no answer'));
    outgoing.on('response', (answer) => {
      answer.once('close', () => clearTimeout(timer));
      resolve(answer);
    });
    outgoing.on('error', (error) => {
      clearTimeout(timer);
      reject(failure(url, error));
    });
    outgoing.end(body);
  });
}

async function collect(answer: IncomingMessage, url: URL): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of Readable.from(answer)) {
      size += (piece as Buffer).byteLength;
      if (size > MAX_ANSWER_BYTES)
        throw new HearthError('upstream_unreachable', `The embedding backend ${url.origin} sent more than ${MAX_ANSWER_BYTES} bytes.`);
      pieces.push(piece as Buffer);
    }
  } catch (error) {
    throw failure(url, error);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

const slow = (url: URL, what: string, ms: number) => new HearthError('upstream_timeout', `The embedding backend ${url.origin} ${what} within ${ms / 1000} s.`);

function failure(url: URL, error: unknown): HearthError {
  if (error instanceof HearthError) return error;
  const reason = error instanceof Error ? ('code' in error ? String(error.code) : error.message) : String(error);
  return new HearthError('upstream_unreachable', `The embedding backend ${url.origin} does not answer: ${reason}.`, { cause: error });
}
