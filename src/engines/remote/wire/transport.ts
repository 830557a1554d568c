import { Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as httpsRequest, Agent as SecureAgent } from 'node:https';

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
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** The connection is there and the request goes out. */
  readonly onConnected?: () => void;
  /** Destroys the connection. */
  readonly signal: AbortSignal;
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
    const isSecure = request.url.protocol === 'https:';
    const agent = fresh ? false : isSecure ? secure : plain;
    const headers = { ...request.headers, ...(request.body === undefined ? {} : { 'content-length': String(request.body.byteLength) }) };
    const outgoing = (isSecure ? httpsRequest : httpRequest)(request.url, { method: request.method, headers, agent, signal: request.signal });
    outgoing.setNoDelay(true);
    outgoing.on('socket', (socket) => {
      if (!socket.connecting) request.onConnected?.();
      else socket.once(isSecure ? 'secureConnect' : 'connect', () => request.onConnected?.());
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
  // Without a listener an error after the last reader has gone would end the process.
  incoming.on('error', () => {});
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    // Leaving the loop must not close a connection that can be used again: `leave` and `destroy` decide.
    body: { [Symbol.asyncIterator]: () => incoming.iterator({ destroyOnReturn: false }) },
    leave() {
      if (incoming.readableEnded || incoming.destroyed) return;
      const timer = setTimeout(() => incoming.destroy(), LEAVE_MS).unref();
      incoming.once('close', () => clearTimeout(timer));
      incoming.resume();
    },
    destroy: () => void incoming.destroy(),
  };
}
