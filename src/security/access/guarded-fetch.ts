import { lookup } from 'node:dns/promises';
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { HearthError, isHearthError } from '../../core/index.ts';
import { egressBlocked, type GuardedUrl, guardUrl, isBlockedAddress, refused } from './url-guard.ts';

export interface GuardedFetchOptions {
  readonly maxBytes: number;
  /** Sent with POST instead of asking with GET; then no redirect is followed. */
  readonly post?: { readonly mediaType: string; readonly text: string };
  /** For all of it, redirects too; 10 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** All addresses of a name; the system's. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
  /** Where a connection to a checked address really goes; there. */
  readonly dial?: (address: string, port: number) => { readonly host: string; readonly port: number };
}

const MAX_REDIRECTS = 3;

/**
 * The bytes behind a link of foreign origin. Each name is resolved once and refused when any of its addresses is blocked; the connection goes to
 * the address that was checked, and a redirect starts all over. No cookies, no credentials, no compression. Throws invalid_value for what is
 * refused or cannot be had.
 */
export async function fetchGuarded(link: string, options: GuardedFetchOptions): Promise<{ readonly bytes: Uint8Array; readonly mediaType: string | null }> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 10_000);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  try {
    let target = guardUrl(link);
    for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
      const answer = await ask(target, await addressOf(target, options), options, signal);
      const { statusCode: status = 0, headers } = answer;
      if (status >= 300 && status < 400 && headers.location !== undefined && options.post === undefined) {
        answer.destroy();
        target = guardUrl(headers.location, target.url);
        continue;
      }
      if (status !== 200) {
        answer.destroy();
        throw refused(`its server answered ${status}`);
      }
      const mediaType = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() ?? null;
      return { bytes: await readAll(answer, options.maxBytes), mediaType };
    }
    throw refused(`it was sent on more than ${MAX_REDIRECTS} times`);
  } catch (error) {
    if (isHearthError(error)) throw error;
    if (options.signal?.aborted) throw new HearthError('client_closed_request', 'The client went away.', { cause: error });
    throw timeout.aborted ? refused('its server took too long') : new HearthError('invalid_value', 'The link could not be followed.', { cause: error });
  }
}

async function addressOf({ host, literal }: GuardedUrl, { resolve = systemAddresses }: GuardedFetchOptions): Promise<string> {
  if (literal) return host;
  const addresses = await resolve(host);
  if (addresses.length === 0 || addresses.some(isBlockedAddress)) throw egressBlocked(host);
  return addresses[0]!;
}

const systemAddresses = async (name: string): Promise<string[]> => (await lookup(name, { all: true })).map(({ address }) => address);

function ask({ url, host, literal }: GuardedUrl, address: string, { dial, post }: GuardedFetchOptions, signal: AbortSignal): Promise<IncomingMessage> {
  const secure = url.protocol === 'https:';
  const port = Number(url.port || (secure ? 443 : 80));
  const place = dial?.(address, port) ?? { host: address, port };
  const common = {
    ...place,
    method: post === undefined ? 'GET' : 'POST',
    path: `${url.pathname}${url.search}`,
    headers: { host: url.host, accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'hearth', ...bodyHeaders(post) },
    agent: false as const,
    signal,
  };
  return new Promise((done, fail) => {
    // The certificate has to be that of the name, though the connection goes to an address.
    const sent: ClientRequest = secure ? requestHttps({ ...common, ...(literal ? {} : { servername: host }) }, done) : requestHttp(common, done);
    sent.on('error', fail);
    sent.end(post?.text);
  });
}

const bodyHeaders = (post: GuardedFetchOptions['post']): Record<string, string> =>
  post === undefined ? {} : { 'content-type': post.mediaType, 'content-length': String(Buffer.byteLength(post.text)) };

async function readAll(answer: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const encoding = answer.headers['content-encoding'] ?? 'identity';
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    if (encoding !== 'identity') throw refused('its server compresses what it was asked to leave as it is');
    if (Number(answer.headers['content-length'] ?? 0) > maxBytes) throw refused(`it holds more than ${maxBytes} bytes`);
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw refused(`it holds more than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    answer.destroy();
  }
}
