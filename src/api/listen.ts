import { chmod } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type ErrorCode, REQUEST_LIMITS } from '../contract/index.ts';
import { HearthError, requestId } from '../core/index.ts';
import { type Caller, isAllowedOrigin, isLoopback, type ListenerNames } from '../security/index.ts';
import { admit, MAX_HEADER_BYTES, MAX_URL_BYTES } from './admission.ts';
import type { Api } from './api.ts';
import { bridge } from './bridge.ts';
import { limitConnections } from './connection-limit.ts';
import { errorBody, errorShape, tellError } from './errors.ts';
import { findPortOwner } from './port-owner.ts';

export interface ListenOptions {
  /** `127.0.0.1` (the default) and other loopback names bind both IPv4 and, where the machine has it, IPv6 loopback. */
  readonly host?: string;
  /** 0 = any free one. null = no TCP listener. */
  readonly port: number | null;
  /** Absolute path of a Unix socket; its directory has to be private. */
  readonly socketPath?: string;
  readonly access?: ListenerAccess;
  /** Other limits than docs/spec/security.md §7 says. */
  readonly server?: Partial<typeof SERVER_OPTIONS & { readonly maxConnections: number }>;
}

/** Whom the TCP listeners let in; its fields are read at each request, so that they may follow a reload of the configuration. */
export interface ListenerAccess {
  /** Inference needs a key on loopback too. */
  readonly requireKey?: boolean;
  readonly hosts?: readonly string[];
  readonly origins?: readonly string[];
  /** Whether there is a key that could be used; without one no address is opened that other machines reach. */
  readonly hasKeys?: () => boolean;
  /** Such an address was opened: from now on every TCP listener needs keys for all but public routes. */
  readonly onExposed?: (address: string) => void;
  /** TCP addresses were opened. */
  readonly onOpen?: (opened: { readonly addresses: readonly string[]; readonly exposed: boolean }) => void;
  /** A connection was refused before it became a request. */
  readonly onRefused?: (refusal: { readonly code: ErrorCode; readonly remoteAddress: string; readonly origin: string | null }) => void;
}

export interface Listener extends AsyncDisposable {
  /** The port that clients use; null without TCP. */
  readonly port: number | null;
  /** Such as `http://127.0.0.1:8000`, `http://[::1]:8000` and the socket's path. */
  readonly addresses: readonly string[];
  /** Takes no more connections; those that are open get `graceMs`, then they are cut. */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

/**
 * Opens the listeners of one API. Throws port_in_use naming the process that has the port, and bind_without_auth for an
 * address that others reach.
 */
export async function listen(api: Api, options: ListenOptions): Promise<Listener> {
  const servers: Server[] = [];
  const addresses: string[] = [];
  let port: number | null = null;
  try {
    if (options.port !== null) {
      const [first, ...others] = bindAddresses(options.host ?? '127.0.0.1', options.access);
      const server = await openTcp(api, first!, options.port, options).catch((error: unknown) => {
        throw refusedAddress(error, first!, options.port!);
      });
      servers.push(server);
      port = (server.address() as AddressInfo).port;
      addresses.push(urlOf(first!, port));
      if (!isLoopback(first!)) options.access?.onExposed?.(addresses[0]!);
      for (const host of others) {
        const other = await openTcp(api, host, port, options).catch((error: unknown) => {
          // A machine without IPv6 has no such address; a taken port is an error there too, since clients may try it first.
          if (isSystemError(error, 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL')) return null;
          throw error;
        });
        if (!other) continue;
        servers.push(other);
        addresses.push(urlOf(host, port));
      }
    }
    if (addresses.length > 0) options.access?.onOpen?.({ addresses: [...addresses], exposed: !isLoopback(options.host ?? '127.0.0.1') });
    if (options.socketPath !== undefined) {
      servers.push(await openSocket(api, options.socketPath));
      addresses.push(options.socketPath);
    }
  } catch (error) {
    await Promise.all(servers.map((server) => closeServer(server, 0)));
    throw error;
  }
  const close = async ({ graceMs = 0 } = {}) => {
    await Promise.all(servers.map((server) => closeServer(server, graceMs)));
  };
  return { port, addresses, close, [Symbol.asyncDispose]: () => close() };
}

function bindAddresses(host: string, access: ListenerAccess | undefined): string[] {
  if (!isLoopback(host)) {
    if (access?.hasKeys?.()) return [host];
    throw new HearthError('bind_without_auth', `${host} is reached by other machines, and there is no key yet that they would need.`);
  }
  if (host === '::1') return ['::1', '127.0.0.1'];
  return host === 'localhost' || host === '127.0.0.1' ? ['127.0.0.1', '::1'] : [host];
}

/** What keeps an address from being opened, where it is the one that gave it who can mend that. */
function refusedAddress(error: unknown, host: string, port: number): unknown {
  if (isSystemError(error, 'ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL'))
    return new HearthError('invalid_value', `${JSON.stringify(host.slice(0, 100))} is no address of this machine.`, {
      cause: error,
      details: { param: 'host' },
    });
  if (isSystemError(error, 'EACCES', 'EPERM')) return new HearthError('permission_denied', `Port ${port} may not be opened by this user.`, { cause: error });
  return error;
}

const urlOf = (host: string, port: number): string => `http://${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Limits of docs/spec/security.md §7. */
const SERVER_OPTIONS = {
  requestTimeout: 120_000,
  headersTimeout: 10_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: MAX_HEADER_BYTES + MAX_URL_BYTES + 1024,
  requireHostHeader: false,
  insecureHTTPParser: false,
  noDelay: true,
};
const MAX_CONNECTIONS = REQUEST_LIMITS.connections;

type Policy = () => { readonly names: ListenerNames; readonly requireKey: boolean };

async function openTcp(api: Api, host: string, port: number, options: ListenOptions): Promise<Server> {
  const { maxConnections, ...limits } = { ...SERVER_OPTIONS, maxConnections: MAX_CONNECTIONS, ...options.server };
  const server = createServer(limits);
  const { access = {} } = options;
  const told: Told = (error: HearthError, remoteAddress = '', origin = null) => access.onRefused?.({ code: error.code, remoteAddress, origin });
  await bound(server, () => server.listen({ host, port, ipv6Only: true }), port);
  const ownPort = (server.address() as AddressInfo).port;
  const policy: Policy = () => ({
    names: { host, port: ownPort, hosts: access.hosts ?? [], origins: access.origins ?? [] },
    requireKey: access.requireKey === true || !isLoopback(host),
  });
  serveWith(server, tcpRequests(api, policy, told), { told, admit: (incoming) => admit(incoming, policy().names) });
  limitConnections(server, maxConnections);
  return server;
}

async function openSocket(api: Api, path: string): Promise<Server> {
  const server = createServer({ ...SERVER_OPTIONS });
  await bound(server, () => server.listen(path), null);
  await chmod(path, 0o600);
  serveWith(
    server,
    bridge(api, (incoming) => ({ caller: { kind: 'trusted', via: 'socket' }, cut: () => void incoming.socket.destroy() })),
  );
  return server;
}

interface Edge {
  readonly told?: Told;
  /** What is asked of every request before anything else. */
  readonly admit?: (incoming: IncomingMessage) => HearthError | null;
}

/** Answers what Node would answer by itself, or not at all, in the shape of every other error. */
function serveWith(server: Server, requests: RequestListener, { told = () => {}, admit = () => null }: Edge = {}): void {
  server.on('clientError', (error, socket: Socket) => answerClientError(error, socket, told));
  server.on('request', requests);
  // The answer says 100 when the body is read (bridge.ts).
  server.on('checkContinue', requests);
  server.on('checkExpectation', (incoming, outgoing) => {
    const word = incoming.headers.expect?.slice(0, 100) ?? '';
    refuse(incoming, outgoing, admit(incoming) ?? new HearthError('expectation_failed', `Expect: ${word} is nothing that this server can do.`));
  });
  server.on('upgrade', (incoming: IncomingMessage, socket: Socket) => {
    const refusal = admit(incoming);
    if (refusal) told(refusal, socket.remoteAddress, incoming.headers.origin);
    endWith(socket, refusal ?? new HearthError('route_not_found', 'There are no WebSockets here.'));
  });
  // Its target is the server beyond, so that none of ours can be meant.
  server.on('connect', (_incoming, socket: Socket) => endWith(socket, new HearthError('method_not_allowed', 'This server is no proxy: it takes no CONNECT.')));
}

async function bound(server: Server, start: () => void, port: number | null): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.once('listening', resolve);
      start();
    });
  } catch (error) {
    if (!isSystemError(error, 'EADDRINUSE')) throw error;
    if (port === null) throw new HearthError('locked', 'The control socket is in use: another hearth daemon runs.', { cause: error });
    const owner = await findPortOwner(port);
    const by = owner ? `${owner.name} (pid ${owner.pid})` : 'an unknown process';
    throw new HearthError('port_in_use', `Port ${port} is in use by ${by}.`, {
      cause: error,
      details: { port, ...(owner ? { pid: owner.pid, process: owner.name } : {}) },
    });
  }
}

/** Hears of what was refused before it became a request. */
type Told = (error: HearthError, remoteAddress?: string, origin?: string | null) => void;

function tcpRequests(api: Api, policy: Policy, told: Told): RequestListener {
  const serve = bridge(api, (incoming) => {
    const { origin } = incoming.headers;
    const caller: Caller = { kind: 'tcp', remoteAddress: incoming.socket.remoteAddress ?? '', requireKey: policy().requireKey };
    const cut = () => void incoming.socket.destroy();
    return origin === undefined ? { caller, cut } : { caller, cut, allowedOrigin: origin };
  });
  return (incoming, outgoing) => {
    const { names } = policy();
    const refusal = admit(incoming, names);
    if (refusal) {
      told(refusal, incoming.socket.remoteAddress, incoming.headers.origin);
      return refuse(incoming, outgoing, refusal);
    }
    const { origin } = incoming.headers;
    if (incoming.method === 'OPTIONS' && origin !== undefined && isAllowedOrigin(origin, names)) return answerPreflight(incoming, outgoing, origin);
    serve(incoming, outgoing);
  };
}

/** Connections that have had their last answer: what the parser finds wrong in the rest of a refused request is told to nobody. */
const done = new WeakSet<Socket>();

function refuse(incoming: IncomingMessage, outgoing: ServerResponse, error: HearthError): void {
  const id = requestId();
  done.add(incoming.socket);
  const { status, body, headers } = tellError(error, id, errorShape((incoming.url ?? '').split('?', 1)[0]!, versionOf(incoming)));
  outgoing.writeHead(status, {
    ...headers,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
    'x-request-id': id,
    connection: 'close',
  });
  outgoing.end(body);
  incoming.resume();
}

/** Of Anthropic's API, as the client says it. */
function versionOf({ headers }: IncomingMessage): string | undefined {
  const version = headers['anthropic-version'];
  return typeof version === 'string' ? version : version?.[0];
}

function answerPreflight(incoming: IncomingMessage, outgoing: ServerResponse, origin: string): void {
  outgoing.writeHead(204, {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': 'GET, POST, DELETE',
    'access-control-allow-headers': incoming.headers['access-control-request-headers'] ?? 'content-type',
    'access-control-max-age': '600',
    vary: 'origin',
  });
  outgoing.end();
}

/** What the HTTP parser refuses is told in the shape of every other error. */
function answerClientError(error: Error & { code?: string }, socket: Socket, told: Told = () => {}): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  if (done.has(socket)) {
    socket.destroySoon();
    return;
  }
  const refusal = clientErrorOf(error.code);
  told(refusal, socket.remoteAddress);
  endWith(socket, refusal);
}

function clientErrorOf(code: string | undefined): HearthError {
  if (code === 'HPE_HEADER_OVERFLOW') return new HearthError('headers_too_large', 'The headers are too long.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new HearthError('request_timeout', 'The request did not arrive in time.');
  return new HearthError('invalid_value', 'The request is not valid HTTP.');
}

/** Writes the answer and lets the connection go, also when the client keeps its end open. */
function endWith(socket: Socket, error: HearthError): void {
  socket.write(rawResponse(error));
  socket.destroySoon();
}

function rawResponse(error: HearthError): string {
  const id = requestId();
  const body = JSON.stringify(errorBody(error, id));
  const head = [
    `HTTP/1.1 ${error.row.status} ${STATUS_CODES[error.row.status]}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'x-content-type-options: nosniff',
    `x-request-id: ${id}`,
    'connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  if (graceMs === 0) server.closeAllConnections();
  const cut = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(cut);
}

const isSystemError = (error: unknown, ...codes: string[]): boolean => error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '');
