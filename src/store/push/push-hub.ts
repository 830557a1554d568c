import { HearthError } from '../../core/index.ts';
import { createDeadline } from '../hub/deadline.ts';
import { TransientError } from '../hub/hub-request.ts';
import type { HubOptions, StoreOptions } from '../options.ts';

/** One request of a push. */
export interface PushRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Path on the hub, or the address that the hub named for a storage. */
  readonly to: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A signed address carries its own right: no token goes there, not even on the hub's own origin. */
  readonly signed?: boolean;
  /** Made anew for every try. */
  readonly body?: () => PushBody;
  /** Statuses that the caller judges itself; every other one but 2xx is an error. */
  readonly accept?: readonly number[];
  /** What is done, for messages: `sending model.safetensors`. */
  readonly doing: string;
}

export interface PushBody {
  /** In bytes: storages refuse a body of unknown length. */
  readonly length: number;
  readonly pieces: AsyncIterable<Uint8Array> | Uint8Array;
}

export interface PushAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface PushHub {
  /** Sends with up to 8 tries for what may pass. Errors: offline, hub_unreachable, auth_error, repo_not_found, rate_limit_exceeded, upload_failed. */
  send(request: PushRequest): Promise<PushAnswer>;
  readonly endpoint: string;
}

export interface PushHubOptions {
  readonly hub: HubOptions;
  /** The variable HF_TOKEN. */
  readonly token: string;
  readonly repository: string;
  readonly sleep: StoreOptions['sleep'];
  readonly onNotice: (message: string) => void;
  readonly signal: AbortSignal;
}

const MAX_TRIES = 8;
const MAX_REDIRECTS = 5;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Asked to wait longer than this, we say so and end. */
const MAX_WAIT_S = 300;
const retryDelayMs = (attempt: number): number => Math.min(30_000, 1000 * 2 ** (attempt - 1));
const REDIRECTS = [301, 302, 303, 307, 308];

/** Requests of a push: the token goes to the hub's own origin only, and what may pass is tried again. */
export function createPushHub(options: PushHubOptions): PushHub {
  const { hub, signal } = options;
  const endpoint = new URL(hub.endpoint);

  async function send(request: PushRequest): Promise<PushAnswer> {
    if (hub.offline) throw new HearthError('offline', 'HF_HUB_OFFLINE is set, so nothing is pushed.');
    for (let attempt = 1; ; attempt++) {
      try {
        return judge(await once(request), request);
      } catch (error) {
        signal.throwIfAborted();
        const wait = error instanceof RateLimit ? error.waitS * 1000 : retryDelayMs(attempt);
        if (!(error instanceof TransientError) && !(error instanceof RateLimit)) throw error;
        if (attempt >= MAX_TRIES || wait > MAX_WAIT_S * 1000) throw ended(error, request, attempt);
        if (error instanceof RateLimit) options.onNotice(`The hub asks to wait ${error.waitS} s (too many requests).`);
        await options.sleep(wait, signal);
      }
    }
  }

  /** One try, with redirects. */
  async function once(request: PushRequest): Promise<PushAnswer> {
    using deadline = createDeadline(signal, hub.timeoutMs);
    let { method } = request;
    let url = new URL(request.to.startsWith('/') ? endpoint.pathname.replace(/\/+$/, '') + request.to : request.to, endpoint);
    const fromHub = url.origin === endpoint.origin && request.signed !== true;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      checkAddress(url, endpoint);
      const own = url.origin === endpoint.origin;
      const headers = { ...request.headers, 'accept-encoding': 'identity', ...(own && fromHub ? { authorization: `Bearer ${options.token}` } : {}) };
      deadline.restart();
      await using body = sentBody(method === 'GET' ? undefined : request.body?.(), deadline.restart);
      try {
        const response = await hub.fetch(url, { method, redirect: 'manual', signal: deadline.signal, ...body.init(headers) });
        const location = response.headers.get('location');
        if (!REDIRECTS.includes(response.status) || location === null)
          return { status: response.status, headers: response.headers, text: await readText(response, deadline.restart) };
        await response.body?.cancel();
        url = new URL(location, url);
        if (fromHub && url.origin !== endpoint.origin)
          throw new HearthError('upload_failed', `The hub redirects ${request.doing} to ${url.host}; nothing is sent there.`);
        if (response.status === 303) method = 'GET';
      } catch (error) {
        throw networkError(error, url, deadline);
      }
    }
    throw new HearthError('upload_failed', `${endpoint.host} redirects more than ${MAX_REDIRECTS} times.`);
  }

  function judge(answer: PushAnswer, request: PushRequest): PushAnswer {
    const { status } = answer;
    if ((status >= 200 && status < 300) || request.accept?.includes(status)) return answer;
    if (status === 429) throw new RateLimit(waitSeconds(answer.headers));
    if (status >= 500 || status === 408) throw new TransientError(`the answer was ${status}`);
    const said = hubSays(answer);
    const details = { status, repository: options.repository };
    if (status === 401 || status === 403)
      throw new HearthError('auth_error', `The hub does not let this token do it (${request.doing}: ${status}${said}).`, { details });
    if (status === 404)
      throw new HearthError('repo_not_found', `The hub knows no ${options.repository} that this token may write (${request.doing}${said}).`, { details });
    throw new HearthError('upload_failed', `${request.doing[0]!.toUpperCase()}${request.doing.slice(1)} failed: the answer was ${status}${said}.`, { details });
  }

  return { send, endpoint: hub.endpoint };
}

class RateLimit extends Error {
  readonly waitS: number;
  constructor(waitS: number) {
    super(`too many requests; wait ${waitS} s`);
    this.waitS = waitS;
  }
}

/** `Retry-After: 12`, or `RateLimit: "api";r=0;t=12`. */
function waitSeconds(headers: Headers): number {
  const after = headers.get('retry-after');
  const seconds = after !== null && /^\d{1,6}$/.test(after) ? Number(after) : Number(/;\s*t=(\d{1,6})/.exec(headers.get('ratelimit') ?? '')?.[1] ?? 5);
  return Math.max(1, seconds);
}

function ended(error: Error, request: PushRequest, attempts: number): HearthError {
  if (error instanceof RateLimit)
    return new HearthError('rate_limit_exceeded', `The hub takes no more requests for now; it asks to wait ${error.waitS} s.`, {
      cause: error,
      details: { retryAfterS: error.waitS },
    });
  return new HearthError('upload_failed', `${request.doing[0]!.toUpperCase()}${request.doing.slice(1)} failed after ${attempts} tries: ${error.message}.`, {
    cause: error,
  });
}

/** The hub's own words, shortened; secrets are stripped when the error is built. */
export function hubSays(answer: PushAnswer): string {
  let said = answer.headers.get('x-error-message') ?? '';
  if (said === '') {
    try {
      const body = JSON.parse(answer.text) as { error?: unknown; message?: unknown };
      said = typeof body.error === 'string' ? body.error : typeof body.message === 'string' ? body.message : '';
    } catch {
      // Not JSON: nothing to tell.
    }
  }
  const clean = said
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
    .trim()
    .slice(0, 200);
  return clean === '' ? '' : `, "${clean}"`;
}

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(host);

function checkAddress(url: URL, endpoint: URL): void {
  const local = isLoopback(endpoint.hostname);
  const fine = url.protocol === 'https:' ? local || !isLoopback(url.hostname) : url.protocol === 'http:' && local && isLoopback(url.hostname);
  if (!fine || url.username !== '')
    throw new HearthError('upload_failed', `${url.protocol}//${url.host} is refused: files are sent over https only (http to a hub on this machine).`);
}

interface SentBody extends AsyncDisposable {
  init(headers: Record<string, string>): RequestInit;
}

/** The body of one try. Disposing it closes the file: a broken connection does not cancel the stream that it was reading. */
function sentBody(body: PushBody | undefined, onPiece: () => void): SentBody {
  if (body === undefined || body.pieces instanceof Uint8Array) {
    const bytes = body?.pieces as Uint8Array<ArrayBuffer> | undefined;
    return { init: (headers) => ({ headers, ...(bytes === undefined ? {} : { body: bytes }) }), [Symbol.asyncDispose]: async () => {} };
  }
  const source = body.pieces[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await source.next();
        onPiece();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
    },
    { highWaterMark: 0 },
  );
  return {
    init: (headers) => ({ headers: { ...headers, 'content-length': String(body.length) }, body: stream, duplex: 'half' }) as RequestInit,
    [Symbol.asyncDispose]: async () => {
      await source.return?.();
    },
  };
}

async function readText(response: Response, onPiece: () => void): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    onPiece();
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new HearthError('upload_failed', 'The hub sent an answer of more than 64 MiB.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Nobody answered at all: what a machine without the network sees. */
const UNREACHABLE: readonly string[] = ['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EPERM', 'UND_ERR_CONNECT_TIMEOUT'];

function networkError(error: unknown, url: URL, deadline: { readonly expired: boolean; readonly signal: AbortSignal; readonly ms: number }): unknown {
  if (deadline.expired) return new TransientError(`${url.host} took nothing for ${deadline.ms / 1000} s`, error);
  if (deadline.signal.aborted) return error;
  // A body that cannot be read fails the request with its own error as the cause.
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) if (cause instanceof HearthError) return cause;
  const cause = error instanceof Error ? error.cause : undefined;
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
  const code = typeof first === 'object' && first !== null && 'code' in first && typeof first.code === 'string' ? first.code : null;
  if (code !== null && UNREACHABLE.includes(code)) return new HearthError('hub_unreachable', `${url.host} cannot be reached (${code}).`, { cause: error });
  return new TransientError(`the connection to ${url.host} broke${code === null ? '' : ` (${code})`}`, error);
}
