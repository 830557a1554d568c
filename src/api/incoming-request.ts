import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { plainHeaders } from './plain-headers.ts';

/**
 * A request of the listener as the Request that routes take. The platform's own class makes streams, copies and signals for each one, which
 * costs more than most answers: here each part is made when it is asked for. Throws TypeError for a target that is no URL.
 */
class IncomingRequest {
  readonly method: string;
  readonly url: string;
  readonly signal: AbortSignal;
  readonly #incoming: IncomingMessage;
  readonly #onRead: () => void;
  #headers: Headers | undefined;
  #body: ReadableStream<Uint8Array> | null | undefined;
  #taken = false;

  constructor(incoming: IncomingMessage, signal: AbortSignal, onRead: () => void) {
    this.method = incoming.method ?? 'GET';
    // Which name the client used was checked before; from here on only the path counts.
    const target = incoming.url ?? '/';
    const { pathname, search } = new URL(target.startsWith('/') ? `http://hearth${target}` : target, 'http://hearth/');
    this.url = `http://hearth${pathname}${search}`;
    this.signal = signal;
    this.#incoming = incoming;
    this.#onRead = onRead;
  }

  get headers(): Headers {
    this.#headers ??= plainHeaders(pairsOf(this.#incoming.rawHeaders));
    return this.#headers;
  }

  /** The body as it comes in, for who reads it whole. */
  take(): Readable | null {
    if (this.method === 'GET' || this.method === 'HEAD') return null;
    if (!this.#taken) this.#onRead();
    this.#taken = true;
    return this.#incoming;
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#body === undefined) {
      const incoming = this.take();
      this.#body = incoming === null ? null : (Readable.toWeb(incoming) as unknown as ReadableStream<Uint8Array>);
    }
    return this.#body;
  }

  get bodyUsed(): boolean {
    return this.#taken;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return await new Response(this.body).arrayBuffer();
  }

  async text(): Promise<string> {
    return await new Response(this.body).text();
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }
}
Object.setPrototypeOf(IncomingRequest.prototype, Request.prototype);

function* pairsOf(raw: readonly string[]): Generator<readonly [string, string]> {
  for (let i = 0; i + 1 < raw.length; i += 2) yield [raw[i]!, raw[i + 1]!];
}

/** `onRead` hears when somebody wants the body. */
export const incomingRequest = (incoming: IncomingMessage, signal: AbortSignal, onRead: () => void): Request =>
  new IncomingRequest(incoming, signal, onRead) as unknown as Request;

/** The body as a stream of Node: the connection itself where the request came over one. null without a body. */
export function bodyStream(request: Request): Readable | null {
  if (request instanceof IncomingRequest) return request.take();
  return request.body ? Readable.fromWeb(request.body as import('node:stream/web').ReadableStream<Uint8Array>) : null;
}
