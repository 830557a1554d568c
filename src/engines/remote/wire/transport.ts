import { Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest, Agent as SecureAgent } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import { readPieces } from './pieces.ts';

export interface WireResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Throws when the connection breaks before the end that the framing promised. */
  readonly body: AsyncIterable<Uint8Array>;
  /** The rest is of no interest: the connection is kept if the rest comes soon, else closed. */
  leave(): void;
  /** Closes the connection at once. */
  destroy(): void;
}

export interface TransportRequest {
  readonly method: 'GET' | 'POST';
  readonly target: Target;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** The connection is there and the request goes out. */
  readonly onConnected?: () => void;
  /** Destroys the connection. */
  readonly signal: AbortSignal;
}

/** An address as Node's client takes it, made once: taking a URL apart costs a tenth of a request. */
export interface Target {
  readonly secure: boolean;
  readonly options: RequestOptions;
}

export function targetOf(url: URL): Target {
  const { protocol, hostname, port, path, auth } = urlToHttpOptions(url);
  return { secure: protocol === 'https:', options: { protocol, hostname, port, path, ...(auth === undefined ? {} : { auth }) } as RequestOptions };
}

/** Keep-alive connections to one server. */
export interface Transport {
  /** Settles with the head of the answer; redirects are not followed. Throws what the system says. */
  send(request: TransportRequest): Promise<WireResponse>;
  close(): void;
}

/** Time for the end of an answer whose last event is here. */
const LEAVE_MS = 1_000;

export function createTransport({ idleConnections = 64 }: { readonly idleConnections?: number } = {}): Transport {
  const settings = { keepAlive: true, maxFreeSockets: idleConnections, scheduling: 'lifo' } as const;
  const plain = new Agent(settings);
  const secure = new SecureAgent(settings);

  function once(request: TransportRequest, fresh: boolean): Promise<WireResponse> {
    const { promise, resolve, reject } = Promise.withResolvers<WireResponse>();
    const { signal, target } = request;
    const agent = fresh ? false : target.secure ? secure : plain;
    const headers = { ...request.headers, ...(request.body === undefined ? {} : { 'content-length': String(request.body.byteLength) }) };
    const outgoing = (target.secure ? httpsRequest : httpRequest)({ ...target.options, method: request.method, headers, agent });
    outgoing.setNoDelay(true);
    const abort = (): void => void outgoing.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    outgoing.once('close', () => signal.removeEventListener('abort', abort));
    outgoing.on('socket', (socket) => {
      if (!socket.connecting) request.onConnected?.();
      else socket.once(target.secure ? 'secureConnect' : 'connect', () => request.onConnected?.());
    });
    outgoing.on('response', (incoming) => resolve(responseOf(incoming)));
    // A later error reaches the reader of the body too; this listener keeps it from ending the process.
    outgoing.on('error', (error) => {
      const stale = outgoing.reusedSocket && !fresh && 'code' in error && error.code === 'ECONNRESET' && !request.signal.aborted;
      if (stale) once(request, true).then(resolve, reject);
      else reject(error);
    });
    outgoing.end(request.body);
    return promise;
  }

  return {
    // A kept connection that the server closed in the same moment shows as a reset before any answer: then a new one is made, once.
    send: (request) => once(request, false),
    close() {
      plain.destroy();
      secure.destroy();
    },
  };
}

function responseOf(incoming: IncomingMessage): WireResponse {
  const body = readPieces(incoming);
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    body,
    leave() {
      if (incoming.readableEnded || incoming.destroyed) return;
      body.drop();
      const timer = setTimeout(() => incoming.destroy(), LEAVE_MS).unref();
      incoming.once('close', () => clearTimeout(timer));
    },
    destroy: () => void incoming.destroy(),
  };
}
