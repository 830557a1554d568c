import { HearthError } from '../../core/index.ts';

/** What a TCP listener answers to. */
export interface ListenerNames {
  /** The bound literal, such as `127.0.0.1` or `::1`. */
  readonly host: string;
  readonly port: number;
  /** `access.hosts`: further host names, without port. */
  readonly hosts: readonly string[];
  /** `access.origins`: further origins, such as `http://localhost:5173`. */
  readonly origins: readonly string[];
}

/** Exactly one Host header that names this listener; a page that rebinds its name to this address is refused (docs/spec/security.md §10). */
export function checkHost(hostHeaders: readonly string[], target: string, listener: ListenerNames): HearthError | null {
  const [host, ...more] = hostHeaders;
  if (host === undefined || more.length > 0) return bad('A request needs exactly one Host header.');
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:.*)?$/i.exec(host);
  if (!match) return bad('The Host header is malformed.');
  if (/^[a-z][a-z0-9+.-]*:/i.test(target) && !sameAuthority(target, host)) return bad('The request target and the Host header name different servers.');
  const name = match[1]!.toLowerCase();
  const port = match[2] ?? ':80';
  if (port === `:${listener.port}` && allowedHosts(listener).has(name)) return null;
  return new HearthError('host_not_allowed', `This server does not answer to the name ${host.slice(0, 100)}.`);
}

/** A browser's page must be one of ours or listed; other clients send no Origin. */
export function checkOrigin(
  headers: { readonly origin?: string | undefined; readonly fetchSite?: string | undefined },
  listener: ListenerNames,
): HearthError | null {
  const { origin, fetchSite } = headers;
  if (origin === undefined) {
    if (fetchSite !== 'cross-site' && fetchSite !== 'same-site') return null;
    return new HearthError('origin_not_allowed', 'Pages of other sites may not use this server.');
  }
  if (isAllowedOrigin(origin, listener)) return null;
  return new HearthError('origin_not_allowed', `Pages of ${origin.slice(0, 200)} may not use this server.`);
}

export const isAllowedOrigin = (origin: string, listener: ListenerNames): boolean =>
  listener.origins.includes(origin) || [...allowedHosts(listener)].some((host) => origin === `http://${host}:${listener.port}`);

const allowedHosts = (listener: ListenerNames): Set<string> =>
  new Set(['localhost', '127.0.0.1', '[::1]', bracketed(listener.host), ...listener.hosts.map((host) => host.toLowerCase())]);

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host).toLowerCase();

const sameAuthority = (target: string, host: string): boolean =>
  /^http:\/\//i.test(target) && target.slice('http://'.length).split(/[/?#]/, 1)[0]!.toLowerCase() === host.toLowerCase();

const bad = (message: string): HearthError => new HearthError('invalid_value', message, { details: { param: 'host' } });

/** Addresses that only this machine reaches. */
export const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
