import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

/**
 * A model hub over a folder, on loopback: `<folder>/<org>/<name>/<revision>/<files>`. It speaks the hub's real routes:
 * `GET /api/models/{id}/revision/{rev}?blobs=true` and `GET /{id}/resolve/{sha}/{path}`; files of `lfsAtLeastBytes` or more
 * redirect to `/cdn/<digest>` on a second origin. Misbehaviour is set per repository or per file, and every request is logged.
 */
export interface FakeHub extends AsyncDisposable {
  /** Origin of the hub. */
  readonly endpoint: string;
  /** Host (without port) and origin of the CDN. */
  readonly cdnHost: string;
  readonly cdnOrigin: string;
  readonly requests: readonly FakeHubRequest[];
  /** 40 hex digits: the commit of a revision's folder. */
  commit(model: string, revision?: string): string;
  /** Changes the behaviour from now on. */
  set(behaviour: FakeHubBehaviour): void;
  clearRequests(): void;
}

export interface FakeHubRequest {
  readonly origin: 'hub' | 'cdn';
  readonly path: string;
  readonly authorization: string | null;
  readonly range: string | null;
  readonly ifRange: string | null;
}

export interface FakeHubBehaviour {
  /** Repositories that answer 403 GatedRepo without the token. */
  readonly gated?: readonly string[];
  /** Repositories that are described to everyone, but give files with the token only: the hub's own way with gated models. */
  readonly gatedFiles?: readonly string[];
  /** Repositories that answer 404 RepoNotFound without the token. */
  readonly hidden?: readonly string[];
  readonly token?: string;
  /** Answers of `failStatus` (503) with `failHeaders` before the first good one, over all hub routes. */
  readonly failFirst?: number;
  readonly failStatus?: number;
  readonly failHeaders?: Readonly<Record<string, string>>;
  /** Old name → new name of a repository: its old routes redirect to the new ones, as the hub does after a renaming. */
  readonly renamed?: Readonly<Record<string, string>>;
  /** Small files are answered as the hub does today: a relative redirect that carries their digest, then the file. */
  readonly resolveCache?: boolean;
  /** ETags of the hub itself are weak (`W/"…"`). */
  readonly weakEtags?: boolean;
  /** Added to the CDN's ETag: another value tells that the source has changed. */
  readonly cdnEtagSuffix?: string;
  /** Header of every answer of the CDN. */
  readonly cdnHeaders?: Readonly<Record<string, string>>;
  /** File path → its bytes are changed on the way. */
  readonly corrupt?: readonly string[];
  /** File path → so many bytes are left out at its end (negative) or added there; the headers agree with the body. */
  readonly lengthChange?: Readonly<Record<string, number>>;
  /** As `lengthChange`, but the answer names no length. */
  readonly withoutLength?: readonly string[];
  /** File path → the listing and the headers name another digest. */
  readonly wrongListing?: readonly string[];
  /** File path → X-Linked-Etag differs from the listing. */
  readonly wrongEtag?: readonly string[];
  /** File path → the connection is cut after so many bytes of an answer. */
  readonly cutAfterBytes?: Readonly<Record<string, number>>;
  /** How many answers are cut; unlimited when absent. */
  readonly cutTimes?: number;
  /** File path → after so many bytes nothing more comes; the connection stays open. */
  readonly stallAfterBytes?: Readonly<Record<string, number>>;
  /** How many answers stall; unlimited when absent. */
  readonly stallTimes?: number;
  /** File path → pause in ms between pieces of 16 KiB. */
  readonly slowMs?: Readonly<Record<string, number>>;
  /** Names that the listing adds, such as `../evil`. */
  readonly extraNames?: readonly string[];
  /** Files of this size or more are LFS files on the CDN; 64 KiB. */
  readonly lfsAtLeastBytes?: number;
  /** Where the CDN redirect points instead of the fake's own CDN. */
  readonly redirectTo?: string;
  readonly contentEncoding?: string;
}

const PIECE_BYTES = 16 * 1024;
const PAUSE_STEP_MS = 20;
const RESOLVE_CACHE = '/api/resolve-cache/models/';

export async function startFakeHub(folder: string, initial: FakeHubBehaviour = {}): Promise<FakeHub> {
  const requests: FakeHubRequest[] = [];
  const state: HubState = { folder, behaviour: initial, failed: 0, cuts: 0, stalls: 0, cdnOrigin: '' };
  const log = (origin: 'hub' | 'cdn', request: IncomingMessage): void => {
    const { authorization, range } = request.headers;
    requests.push({ origin, path: request.url ?? '', authorization: authorization ?? null, range: range ?? null, ifRange: headerText(request, 'if-range') });
  };
  const hub = createServer((request, response) => {
    log('hub', request);
    answerHub(state, request, response);
  });
  const cdn = createServer((request, response) => {
    log('cdn', request);
    void answerCdn(state, request, response);
  });
  await Promise.all([hub, cdn].map((server) => new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))));
  const originOf = (server: typeof hub): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  state.cdnOrigin = originOf(cdn);
  return {
    endpoint: originOf(hub),
    cdnHost: '127.0.0.1',
    cdnOrigin: state.cdnOrigin,
    requests,
    commit: (model, revision = 'main') => commitOf(join(folder, model, revision)),
    set: (behaviour) => {
      state.behaviour = behaviour;
      state.failed = state.cuts = state.stalls = 0;
    },
    clearRequests: () => {
      requests.length = 0;
    },
    [Symbol.asyncDispose]: async () => {
      for (const server of [hub, cdn]) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    },
  };
}

interface HubState {
  readonly folder: string;
  behaviour: FakeHubBehaviour;
  failed: number;
  cuts: number;
  stalls: number;
  cdnOrigin: string;
}

const headerText = (request: IncomingMessage, name: string): string | null => {
  const value = request.headers[name];
  return typeof value === 'string' ? value : null;
};

function listFolder(folder: string, prefix = ''): string[] {
  return readdirSync(join(folder, prefix), { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? listFolder(folder, `${prefix}${entry.name}/`) : [`${prefix}${entry.name}`]))
    .sort();
}

const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

/** From the content, so that equal folders have equal commits. */
function commitOf(folder: string): string {
  const hash = createHash('sha1');
  for (const path of listFolder(folder)) hash.update(path).update(readFileSync(join(folder, path)));
  return hash.digest('hex');
}

const isLfs = (state: HubState, bytes: Buffer): boolean => bytes.length >= (state.behaviour.lfsAtLeastBytes ?? 64 * 1024);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const gitSha1 = (bytes: Buffer): string => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
const digestOf = (state: HubState, bytes: Buffer): string => (isLfs(state, bytes) ? sha256(bytes) : gitSha1(bytes));

/** Folder of a repository's revision: by name, or by commit. */
function revisionFolder(state: HubState, model: string, revision: string): string | null {
  const root = join(state.folder, model);
  if (!exists(root)) return null;
  return (
    readdirSync(root)
      .map((name) => ({ name, path: join(root, name) }))
      .find(({ name, path }) => name === revision || commitOf(path) === revision)?.path ?? null
  );
}

function fail(response: ServerResponse, status: number, code: string | null): void {
  response.writeHead(status, { 'content-type': 'application/json', ...(code === null ? {} : { 'x-error-code': code }) });
  response.end(JSON.stringify({ error: code ?? 'failed' }));
}

function answerHub(state: HubState, request: IncomingMessage, response: ServerResponse): void {
  const { behaviour } = state;
  const url = new URL(request.url ?? '/', 'http://hub');
  const api = /^\/api\/models\/([^/]+\/[^/]+|[^/]+)\/(?:revision|tree)\/([^/]+)$/.exec(url.pathname);
  const cached = url.pathname.startsWith(RESOLVE_CACHE);
  const file = /^\/([^/]+\/[^/]+|[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(
    cached ? url.pathname.replace(RESOLVE_CACHE, '/').replace(/^(\/[^/]+\/[^/]+)\//, '$1/resolve/') : url.pathname,
  );
  const model = api?.[1] ?? file?.[1] ?? '';
  const folder = revisionFolder(state, model, decodeURIComponent(api?.[2] ?? file?.[2] ?? ''));
  const authorised = behaviour.token !== undefined && request.headers.authorization === `Bearer ${behaviour.token}`;
  const renamed = behaviour.renamed?.[model];
  if (state.failed < (behaviour.failFirst ?? 0)) {
    state.failed++;
    for (const [name, value] of Object.entries(behaviour.failHeaders ?? {})) response.setHeader(name, value);
    fail(response, behaviour.failStatus ?? 503, null);
  } else if (renamed !== undefined) {
    response.writeHead(307, { location: (request.url ?? '').replace(model, renamed) });
    response.end();
  } else if (model === '') fail(response, 404, null);
  else if (!authorised && behaviour.gated?.includes(model)) fail(response, 403, 'GatedRepo');
  else if (!exists(join(state.folder, model)) || (!authorised && behaviour.hidden?.includes(model))) fail(response, 404, 'RepoNotFound');
  else if (folder === null) fail(response, 404, 'RevisionNotFound');
  else if (file !== null && !authorised && behaviour.gatedFiles?.includes(model)) fail(response, 401, 'GatedRepo');
  else if (api !== null && url.pathname.includes('/tree/')) answerTree(state, folder, response);
  else if (api !== null) answerInfo(state, model, folder, response);
  else answerResolve(state, { folder, path: decodeURIComponent(file?.[3] ?? ''), cached, model }, request, response);
}

function answerInfo(state: HubState, model: string, folder: string, response: ServerResponse): void {
  const { behaviour } = state;
  const siblings = listFolder(folder).map((path) => {
    const bytes = readFileSync(join(folder, path));
    const listed = behaviour.wrongListing?.includes(path) ? Buffer.concat([bytes.subarray(1), Buffer.from('x')]) : bytes;
    const blobId = gitSha1(listed);
    return {
      rfilename: path,
      size: bytes.length,
      blobId,
      ...(isLfs(state, bytes) ? { lfs: { sha256: sha256(listed), size: bytes.length, pointerSize: 134 } } : {}),
    };
  });
  for (const name of behaviour.extraNames ?? []) siblings.push({ rfilename: name, size: 1, blobId: gitSha1(Buffer.from('x')) });
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(
    JSON.stringify({
      id: model,
      sha: commitOf(folder),
      private: false,
      gated: [...(behaviour.gated ?? []), ...(behaviour.gatedFiles ?? [])].includes(model) ? 'manual' : false,
      siblings,
    }),
  );
}

/** The listing that other clients ask for. */
function answerTree(state: HubState, folder: string, response: ServerResponse): void {
  const entries = listFolder(folder).map((path) => {
    const bytes = readFileSync(join(folder, path));
    const lfs = isLfs(state, bytes) ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } } : {};
    return { type: 'file', path, size: bytes.length, oid: gitSha1(bytes), ...lfs };
  });
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(entries));
}

interface ResolveTarget {
  readonly folder: string;
  readonly path: string;
  /** The second request of a file that was redirected on the hub itself. */
  readonly cached: boolean;
  readonly model: string;
}

function answerResolve(state: HubState, target: ResolveTarget, request: IncomingMessage, response: ServerResponse): void {
  const { behaviour } = state;
  const path = join(target.folder, target.path);
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) {
    fail(response, 404, 'EntryNotFound');
    return;
  }
  const bytes = readFileSync(path);
  const digest = behaviour.wrongEtag?.includes(target.path) ? '0'.repeat(64) : digestOf(state, bytes);
  const headers = { 'x-repo-commit': commitOf(target.folder) };
  if (!isLfs(state, bytes) && behaviour.resolveCache === true && !target.cached) {
    const location = `${RESOLVE_CACHE}${target.model}/${commitOf(target.folder)}/${target.path}?etag=${encodeURIComponent(digest)}`;
    response.writeHead(307, { ...headers, location, 'x-linked-etag': `"${digest}"`, 'x-linked-size': String(bytes.length) });
    response.end('Temporary Redirect');
    return;
  }
  if (!isLfs(state, bytes)) {
    const etag = behaviour.weakEtags === true ? `W/"${digest}"` : `"${digest}"`;
    void sendFile(state, { path: target.path, bytes, etag, headers }, request, response);
    return;
  }
  const location = behaviour.redirectTo ?? `${state.cdnOrigin}/cdn/${encodeURIComponent(path)}?name=${encodeURIComponent(target.path)}`;
  response.writeHead(302, { ...headers, location, 'x-linked-etag': `"${digest}"`, 'x-linked-size': String(bytes.length) });
  response.end();
}

async function answerCdn(state: HubState, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://cdn');
  const path = decodeURIComponent(url.pathname.slice('/cdn/'.length));
  if (!path.startsWith(state.folder)) return fail(response, 404, null);
  const bytes = readFileSync(path);
  // A CDN has its own ETag, which is not the digest that the hub lists.
  await sendFile(
    state,
    {
      path: url.searchParams.get('name') ?? '',
      bytes,
      etag: `"cdn-${sha256(bytes).slice(0, 32)}${state.behaviour.cdnEtagSuffix ?? ''}"`,
      headers: state.behaviour.cdnHeaders ?? {},
    },
    request,
    response,
  );
}

async function sendFile(
  state: HubState,
  file: { readonly path: string; readonly bytes: Buffer; readonly etag: string; readonly headers: Readonly<Record<string, string>> },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { behaviour } = state;
  const start = rangeStart(request, file.etag, file.bytes.length);
  if (start > 0 && start >= file.bytes.length) return fail(response, 416, null);
  const change = behaviour.lengthChange?.[file.path] ?? 0;
  const content = Buffer.concat([file.bytes.subarray(start, file.bytes.length + Math.min(0, change)), Buffer.alloc(Math.max(0, change))]);
  if (behaviour.corrupt?.includes(file.path) && content.length > 0) content[content.length - 1] = content[content.length - 1]! ^ 1;
  response.writeHead(start > 0 ? 206 : 200, {
    ...file.headers,
    etag: file.etag,
    'accept-ranges': 'bytes',
    ...(behaviour.withoutLength?.includes(file.path) ? {} : { 'content-length': content.length }),
    ...(behaviour.contentEncoding === undefined ? {} : { 'content-encoding': behaviour.contentEncoding }),
    ...(start > 0 ? { 'content-range': `bytes ${start}-${file.bytes.length - 1}/${file.bytes.length}` } : {}),
  });
  const cutAt = behaviour.cutAfterBytes?.[file.path];
  const stallAt = behaviour.stallAfterBytes?.[file.path];
  if (cutAt !== undefined && cutAt < content.length && state.cuts < (behaviour.cutTimes ?? Number.POSITIVE_INFINITY)) {
    state.cuts++;
    // With pauses, so that the client has read the pieces before the reset drops what it has not.
    await sendPieces(response, content.subarray(0, cutAt), () => 5);
    response.destroy();
  } else if (stallAt !== undefined && stallAt < content.length && state.stalls < (behaviour.stallTimes ?? Number.POSITIVE_INFINITY)) {
    state.stalls++;
    response.write(content.subarray(0, stallAt));
  } else {
    await sendPieces(response, content, () => state.behaviour.slowMs?.[file.path] ?? 0);
    response.end();
  }
}

/** With a pause behind each piece, which ends early when the behaviour has become quicker. */
async function sendPieces(response: ServerResponse, content: Buffer, pauseMs: () => number): Promise<void> {
  for (let at = 0; at < content.length && !response.destroyed; at += PIECE_BYTES) {
    response.write(content.subarray(at, at + PIECE_BYTES));
    for (let passedMs = 0; passedMs < pauseMs() && !response.destroyed; passedMs += PAUSE_STEP_MS) {
      await new Promise((next) => setTimeout(next, Math.min(PAUSE_STEP_MS, pauseMs())));
    }
  }
}

/** 0 without a range, or when If-Range names another ETag. */
function rangeStart(request: IncomingMessage, etag: string, size: number): number {
  const match = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const ifRange = headerText(request, 'if-range');
  if (match === null || (ifRange !== null && ifRange !== etag)) return 0;
  return Math.min(Number(match[1]), size);
}
