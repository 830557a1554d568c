import { HearthError } from '../../core/index.ts';
import type { HubOptions } from '../options.ts';
import type { Deadline } from './deadline.ts';

/** One GET on the hub with our redirect rules: each hop is checked, and the token stays with the hub's own origin (docs/spec/security.md §4.6). */
export interface HubResponse {
  readonly response: Response;
  /** Headers of the first answer that came from the hub's own origin: they carry the digest and the commit, which a CDN does not know. */
  readonly hubHeaders: Headers;
  /** The body comes from the hub's own origin. */
  readonly fromHub: boolean;
}

const MAX_REDIRECTS = 5;
/** Nobody answered at all: what a machine without the network sees. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'EACCES',
  'EPERM',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export async function hubGet(hub: HubOptions, path: string, headers: Readonly<Record<string, string>>, deadline: Deadline): Promise<HubResponse> {
  if (hub.offline) throw new HearthError('offline', 'HF_HUB_OFFLINE is set, so the hub is not asked.');
  const endpoint = new URL(hub.endpoint);
  // A mirror may live below a path of its host.
  let url = new URL(endpoint.pathname.replace(/\/+$/, '') + path, endpoint);
  checkScheme(url, endpoint);
  let hubHeaders: Headers | null = null;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const own = url.origin === endpoint.origin;
    const response = await send(
      hub,
      url,
      { ...headers, 'accept-encoding': 'identity', ...(own && hub.token !== null ? { authorization: `Bearer ${hub.token}` } : {}) },
      deadline,
    );
    if (own) hubHeaders = mergeHeaders(hubHeaders, response.headers);
    const location = response.headers.get('location');
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) {
      const encoding = response.headers.get('content-encoding');
      if (encoding !== null && encoding !== 'identity') {
        await response.body?.cancel();
        throw new HearthError('download_failed', `${url.host} sent a body with content encoding "${encoding}", which is refused.`);
      }
      return { response, hubHeaders: hubHeaders ?? new Headers(), fromHub: own };
    }
    await response.body?.cancel();
    url = new URL(location, url);
    checkScheme(url, endpoint);
    if (url.origin !== endpoint.origin && !allowedHost(url, hub.cdnHosts)) {
      throw new HearthError('download_failed', `The hub redirects to ${url.host}, which is not one of its known hosts; nothing was fetched from there.`);
    }
  }
  throw new HearthError('download_failed', `${endpoint.host} redirects more than ${MAX_REDIRECTS} times.`);
}

/** Earlier hops win: the digest that the hub itself named is the one that counts. */
function mergeHeaders(first: Headers | null, next: Headers): Headers {
  if (first === null) return new Headers(next);
  for (const [name, value] of next) if (!first.has(name)) first.set(name, value);
  return first;
}

async function send(hub: HubOptions, url: URL, headers: Record<string, string>, deadline: Deadline): Promise<Response> {
  deadline.restart();
  try {
    return await hub.fetch(url, { headers, redirect: 'manual', signal: deadline.signal });
  } catch (error) {
    if (deadline.expired) throw new TransientError(`${url.host} gave no answer for ${deadline.ms / 1000} s`, error);
    if (deadline.signal.aborted) throw error;
    const code = causeCode(error);
    if (code !== null && UNREACHABLE.has(code)) {
      throw new HearthError('hub_unreachable', `The model hub ${url.host} cannot be reached (${code}).`, { cause: error });
    }
    throw new TransientError(`the connection to ${url.host} failed${code === null ? '' : ` (${code})`}`, error);
  }
}

/** Worth another try: a timeout, a broken connection, a 5xx or 429 answer. */
export class TransientError extends Error {
  override readonly name = 'TransientError';
  /** What the server asks for; null when it says nothing. */
  readonly retryAfterMs: number | null;
  constructor(message: string, cause?: unknown, retryAfterMs: number | null = null) {
    super(message, { cause });
    this.retryAfterMs = retryAfterMs;
  }
}

function causeCode(error: unknown): string | null {
  const cause = error instanceof Error ? error.cause : undefined;
  // A host with several addresses fails with one error for each.
  return cause instanceof AggregateError ? (codeOf(cause.errors[0]) ?? codeOf(cause)) : codeOf(cause);
}

const codeOf = (value: unknown): string | null =>
  typeof value === 'object' && value !== null && 'code' in value && typeof value.code === 'string' ? value.code : null;

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(host);

function checkScheme(url: URL, endpoint: URL): void {
  const plainAllowed = isLoopback(endpoint.hostname) && isLoopback(url.hostname);
  if (url.protocol === 'https:' || (url.protocol === 'http:' && plainAllowed)) return;
  throw new HearthError('download_failed', `${url.protocol}//${url.host} is refused: models are fetched over https (http only from a hub on this machine).`);
}

function allowedHost(url: URL, patterns: readonly string[]): boolean {
  const host = url.hostname.toLowerCase();
  return patterns.some((pattern) => (pattern.startsWith('*.') ? host.endsWith(pattern.slice(1).toLowerCase()) : host === pattern.toLowerCase()));
}
