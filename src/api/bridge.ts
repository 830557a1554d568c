import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { HearthError, requestId } from '../core/index.ts';
import type { Caller } from '../security/index.ts';
import type { Api, RequestOrigin } from './api.ts';
import { errorResponse, publicError } from './errors.ts';
import { incomingRequest } from './incoming-request.ts';
import { TextsResponse, WholeResponse } from './text-response.ts';
import { writeTexts } from './write-texts.ts';

/** Carries requests of Node's server to the API, and its responses back. A write that fails is the client's going, never an error of ours. */
export function bridge(api: Api, originOf: (incoming: IncomingMessage) => RequestOrigin): RequestListener {
  return (incoming, outgoing) => {
    incoming.on('error', ignore);
    outgoing.on('error', ignore);
    void answer(api, incoming, outgoing, originOf).catch(() => outgoing.destroy());
  };
}

const ignore = (): void => {};

async function answer(api: Api, incoming: IncomingMessage, outgoing: ServerResponse, originOf: (incoming: IncomingMessage) => RequestOrigin): Promise<void> {
  const gone = new AbortController();
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) gone.abort();
  });
  const response = await respond(api, incoming, outgoing, gone.signal, originOf);
  // Refused before its body was there: nobody reads the rest of it, so no other request can follow on this connection.
  const rest = incoming.complete ? null : incoming;
  if (rest !== null) outgoing.setHeader('connection', 'close');
  await write(response, outgoing, rest);
}

async function respond(
  api: Api,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  signal: AbortSignal,
  originOf: (incoming: IncomingMessage) => RequestOrigin,
): Promise<Response> {
  try {
    return await api.request(incomingRequest(incoming, signal, inviteBody(incoming, outgoing)), originOf(incoming));
  } catch (error) {
    const caller: Caller = { kind: 'tcp', remoteAddress: '', requireKey: true };
    const known = error instanceof TypeError && 'code' in error && error.code === 'ERR_INVALID_URL' ? malformed() : error;
    return errorResponse(publicError(known, caller), requestId());
  }
}

/** Who waits for `100 Continue` with a body gets it when somebody wants to read that, or an answer without having sent it. */
function inviteBody({ headers }: IncomingMessage, outgoing: ServerResponse): () => void {
  if (headers.expect === undefined) return ignore;
  // A body that was not asked for may come or not: what follows on this connection could be either.
  outgoing.setHeader('connection', 'close');
  return () => {
    outgoing.removeHeader('connection');
    outgoing.writeContinue();
  };
}

const malformed = (): HearthError => new HearthError('invalid_value', 'The request line or the Host header is malformed.');

/** How long, and how much, a client that was refused may go on sending. */
const LINGER_MS = 1_000;
const LINGER_BYTES = 16 * 1024 * 1024;

/** Drops what a refused client still sends: a connection that is closed with bytes unread is reset, and the reset can overtake the answer. */
function linger(incoming: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let dropped = 0;
    const settle = (): void => {
      clearTimeout(timer);
      incoming.pause();
      resolve();
    };
    const timer = setTimeout(settle, LINGER_MS);
    incoming.unpipe();
    incoming.removeAllListeners('data');
    incoming.on('data', (bytes: Buffer) => {
      dropped += bytes.length;
      if (dropped > LINGER_BYTES) settle();
    });
    incoming.once('close', settle).once('end', settle);
    incoming.resume();
  });
}

/** `rest`: a request whose body nobody reads further. */
async function write(response: Response, outgoing: ServerResponse, rest: IncomingMessage | null): Promise<void> {
  if (outgoing.destroyed) return leave(response);
  const head: string[] = [];
  response.headers.forEach((value, name) => {
    head.push(name, value);
  });
  if (response instanceof WholeResponse) {
    const { whole } = response;
    if (!response.headers.has('content-length')) head.push('content-length', String(Buffer.byteLength(whole)));
    outgoing.writeHead(response.status, head);
    // A text goes out in one piece with the head.
    if (rest === null) return void outgoing.end(whole);
    outgoing.write(whole);
    await linger(rest);
    outgoing.end();
    return;
  }
  outgoing.writeHead(response.status, head);
  if (response instanceof TextsResponse) return await writeTexts(response.texts, outgoing);
  const { body } = response;
  if (body === null) {
    outgoing.end();
    return;
  }
  await copy(body, outgoing);
}

/** The client is gone before anything was written. */
function leave(response: Response): void {
  if (response instanceof TextsResponse) response.texts.cancel();
  else if (!(response instanceof WholeResponse)) void response.body?.cancel().catch(ignore);
}

/** Reads only as fast as the client takes it: what waits for it stays in the stream. */
async function copy(body: ReadableStream<Uint8Array>, outgoing: ServerResponse): Promise<void> {
  const reader = body.getReader();
  const cancel = (): void => void reader.cancel().catch(ignore);
  outgoing.once('close', cancel);
  // What is there already goes out with the head, in one write; what is not must not keep the head.
  const alone = setImmediate(() => outgoing.flushHeaders());
  try {
    for (;;) {
      const { done, value } = await reader.read();
      clearImmediate(alone);
      if (done) break;
      if (!outgoing.write(value) && !(await drained(outgoing))) return;
    }
    outgoing.off('close', cancel);
    outgoing.end();
  } catch {
    // The source failed in a way that it could not tell any more.
    outgoing.destroy();
  }
}

/** False when the connection closes instead. */
function drained(outgoing: ServerResponse): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (open: boolean) => () => {
      outgoing.off('drain', onDrain);
      outgoing.off('close', onClose);
      resolve(open);
    };
    const onDrain = settle(true);
    const onClose = settle(false);
    if (outgoing.destroyed) return resolve(false);
    outgoing.once('drain', onDrain);
    outgoing.once('close', onClose);
  });
}
