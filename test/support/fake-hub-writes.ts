import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { answerStorage, bodyOf, completeMultipart, type HubWriteState, send } from './fake-hub-storage.ts';
import { createHubRepositories, type HubCommit, type HubFileEntry, type HubRepositories } from './hub-repositories.ts';

/**
 * A model hub that can be written to, on loopback, with the real routes of reading and writing. It believes nothing: digests and sizes of
 * everything that comes are computed, a commit names only objects that are there, and a storage address works once for its part.
 */
export interface WritableHub extends AsyncDisposable {
  readonly endpoint: string;
  /** Origin of the storage: another one than the hub's. */
  readonly storageOrigin: string;
  readonly repositories: HubRepositories;
  readonly requests: readonly WritableHubRequest[];
  set(behaviour: WritableHubBehaviour): void;
  clearRequests(): void;
}

export interface WritableHubRequest {
  readonly origin: 'hub' | 'storage';
  readonly method: string;
  readonly path: string;
  readonly authorization: string | null;
  readonly contentLength: number | null;
  /** Bytes of the body that arrived. */
  bodyBytes: number;
}

export interface WritableHubBehaviour {
  /** Tokens and what they may do. */
  readonly tokens?: Readonly<Record<string, 'read' | 'write'>>;
  /** Files of this size or more go to the storage in parts of `partBytes`. */
  readonly multipartAtLeastBytes?: number;
  readonly partBytes?: number;
  /** Regular files may have this size at most; 64 KiB. */
  readonly regularAtMostBytes?: number;
  /** Cut the connection of a storage PUT after so many bytes of its body, so often. */
  readonly cutPutAfterBytes?: number;
  readonly cutTimes?: number;
  /** Only PUTs of this part number are cut. */
  readonly cutPart?: number;
  /** Signed addresses of before this moment are refused with 403 (as when they run out). */
  readonly expireUploads?: boolean;
  /** Answers of 429 with this Retry-After before the first good one. */
  readonly rateLimit?: { readonly times: number; readonly retryAfterS: number };
  /** Before a commit is looked at, somebody else commits; so often. */
  readonly foreignCommits?: number;
  /** The commit is made, and its answer is lost; so often. */
  readonly loseCommitAnswers?: number;
  /** New repositories become public, whatever was asked. */
  readonly createPublic?: boolean;
  /** The repository becomes public when the first storage request comes. */
  readonly openDuringUpload?: string;
  /** Where API routes below this path redirect to. */
  readonly redirect?: { readonly path: string; readonly to: string };
  /** A text that every error answer repeats, such as the token that came. */
  readonly echoToken?: boolean;
  /** The storage keeps another byte than it was sent. */
  readonly corruptStorage?: boolean;
}

type Log = WritableHubRequest;
type State = HubWriteState;

export async function startWritableHub(folder: string, initial: WritableHubBehaviour = {}): Promise<WritableHub> {
  const requests: Log[] = [];
  const counters = { cuts: 0, limited: 0, foreign: 0, lost: 0 };
  const state: State = {
    repositories: createHubRepositories(join(folder, 'objects')),
    behaviour: initial,
    hubOrigin: '',
    storageOrigin: '',
    uploads: new Map(),
    generation: 0,
    counters,
  };
  const serve = (origin: 'hub' | 'storage', answer: (state: State, request: IncomingMessage, response: ServerResponse, log: Log) => Promise<void>) =>
    createServer((request, response) => {
      const length = request.headers['content-length'];
      const log: Log = {
        origin,
        method: request.method ?? '',
        path: request.url ?? '',
        authorization: request.headers.authorization ?? null,
        contentLength: length === undefined ? null : Number(length),
        bodyBytes: 0,
      };
      requests.push(log);
      request.on('data', (piece: Buffer) => {
        log.bodyBytes += piece.length;
      });
      request.pause();
      answer(state, request, response, log).catch(() => {
        if (response.headersSent) response.destroy();
        else send(response, 500, { error: 'fault' });
      });
    });
  const hub = serve('hub', answerHub);
  const storage = serve('storage', answerStorage);
  await Promise.all([hub, storage].map((server) => new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))));
  const originOf = (server: typeof hub): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  state.hubOrigin = originOf(hub);
  state.storageOrigin = originOf(storage);
  return {
    endpoint: state.hubOrigin,
    storageOrigin: state.storageOrigin,
    repositories: state.repositories,
    requests,
    set(behaviour) {
      state.behaviour = behaviour;
      Object.assign(counters, { cuts: 0, limited: 0, foreign: 0, lost: 0 });
      if (behaviour.expireUploads) state.generation += 1;
    },
    clearRequests: () => {
      requests.length = 0;
    },
    [Symbol.asyncDispose]: async () => {
      for (const server of [hub, storage]) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    },
  };
}

async function answerHub(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { behaviour, repositories, counters } = state;
  const url = new URL(request.url ?? '/', 'http://hub');
  const path = url.pathname;
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? null;
  const role = token === null ? null : (behaviour.tokens ?? { 'hf_test-token': 'write' })[token];
  const fail = (status: number, code: string | null, error = code ?? 'failed', headers = {}): void =>
    send(
      response,
      status,
      { error: behaviour.echoToken ? `${error} (token ${token})` : error },
      { ...(code === null ? {} : { 'x-error-code': code }), ...headers },
    );
  if (behaviour.rateLimit !== undefined && counters.limited < behaviour.rateLimit.times) {
    counters.limited++;
    return fail(429, null, 'Too Many Requests', { 'retry-after': String(behaviour.rateLimit.retryAfterS) });
  }
  if (behaviour.redirect !== undefined && path.startsWith(behaviour.redirect.path)) {
    response.writeHead(307, { location: behaviour.redirect.to });
    response.end();
    return;
  }
  if (token !== null && role === undefined) return fail(401, null, 'Invalid credentials in Authorization header');
  if (path === '/api/whoami-v2') return send(response, role ? 200 : 401, { name: 'tester', type: 'user', auth: { accessToken: { role } } });
  if (path === '/api/validate-yaml') return send(response, 200, { errors: [], warnings: [] });
  if (path === '/api/complete_multipart') return await completeMultipart(state, url, request, response);
  if (path === '/api/repos/create') {
    const body = JSON.parse(String(await bodyOf(request))) as {
      type?: string;
      name: string;
      organization?: string | null;
      private?: boolean;
      visibility?: string;
    };
    const id = `${body.organization ?? 'tester'}/${body.name}`;
    if (role !== 'write') return fail(403, null, "You don't have the rights to create a model under this namespace");
    if (body.type !== undefined && body.type !== 'model') return fail(400, null);
    if (repositories.all.has(id)) return send(response, 409, { error: 'You already created this model repo', url: `${state.hubOrigin}/${id}` });
    await repositories.create(id, behaviour.createPublic !== true && (body.private === true || body.visibility === 'private'));
    return send(response, 200, { url: `${state.hubOrigin}/${id}`, name: id, id: 'x' });
  }
  const api = /^\/api\/models\/([^/]+\/[^/]+)(?:\/(\w[\w-]*)(?:\/([^/]+))?)?$/.exec(path);
  const lfs = /^\/([^/]+\/[^/]+)\.git\/info\/lfs\/objects\/(batch|verify)$/.exec(path);
  const file = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
  const id = api?.[1] ?? lfs?.[1] ?? file?.[1];
  const repository = id === undefined ? undefined : repositories.all.get(id);
  if (id === undefined || repository === undefined || (repository.private && !role))
    return fail(token === null ? 401 : 404, 'RepoNotFound', 'Repository not found');
  const [verb, name = 'main'] = [api?.[2] ?? '', decodeURIComponent(api?.[3] ?? file?.[2] ?? 'main')];
  if (request.method === 'POST' && role !== 'write') return fail(403, null, 'Forbidden: you need a token with write access');
  if (request.method === 'POST' && verb === 'branch') return await createBranch(state, { id, branch: name }, request, fail, response);
  if (request.method === 'POST' && verb === 'preupload') return await preupload(state, { id, branch: name }, request, fail, response);
  if (request.method === 'POST' && verb === 'commit') return await makeCommit(state, { id, branch: name }, request, fail, response);
  if (request.method === 'POST' && lfs?.[2] === 'batch') return await batch(state, id, request, fail, response);
  if (request.method === 'POST' && lfs?.[2] === 'verify') {
    const { oid, size } = JSON.parse(String(await bodyOf(request))) as { oid: string; size: number };
    const kept = repositories.has(oid) && Readable.from(createReadStream(repositories.pathOf(oid)));
    if (!kept) return fail(404, null, 'no such object');
    let bytes = 0;
    for await (const piece of kept) bytes += (piece as Buffer).length;
    return bytes === size ? send(response, 200, {}) : fail(422, null, 'size differs');
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return fail(404, null);
  const commit = repositories.commitOf(id, name);
  if (api !== null && verb === '')
    return send(response, 200, { id, private: repository.private, gated: false, sha: repositories.commitOf(id, 'main')?.sha, siblings: [] });
  if (commit === null) return fail(404, 'RevisionNotFound', 'Invalid rev id');
  if (api !== null && verb === 'revision')
    return send(response, 200, { id, private: repository.private, gated: false, sha: commit.sha, siblings: siblingsOf(commit) });
  if (api !== null && verb === 'tree') return send(response, 200, treeOf(commit));
  const entry = commit.files.get(decodeURIComponent(file?.[3] ?? ''));
  if (entry === undefined) return fail(404, 'EntryNotFound', 'Entry not found');
  const linked = { 'x-repo-commit': commit.sha, 'x-linked-etag': `"${entry.lfs ? entry.sha256 : entry.gitSha1}"`, 'x-linked-size': String(entry.sizeBytes) };
  if (entry.lfs) {
    response.writeHead(302, { ...linked, location: `${state.storageOrigin}/object/${entry.sha256}` });
    response.end();
    return;
  }
  response.writeHead(200, { ...linked, etag: `"${entry.gitSha1}"`, 'content-length': entry.sizeBytes });
  if (request.method === 'HEAD') response.end();
  else createReadStream(repositories.pathOf(entry.sha256)).pipe(response);
}

const siblingsOf = (commit: HubCommit) =>
  [...commit.files].map(([rfilename, { sizeBytes, sha256, gitSha1, lfs }]) => ({
    rfilename,
    size: sizeBytes,
    blobId: lfs ? pointerSha1(sha256, sizeBytes) : gitSha1,
    ...(lfs ? { lfs: { sha256, size: sizeBytes, pointerSize: 134 } } : {}),
  }));

const treeOf = (commit: HubCommit) =>
  siblingsOf(commit).map(({ rfilename, size, blobId, lfs }) => ({
    type: 'file',
    path: rfilename,
    size,
    oid: blobId,
    ...(lfs === undefined ? {} : { lfs: { oid: lfs.sha256, size, pointerSize: 134 } }),
  }));

/** What git itself keeps of an LFS file. */
function pointerSha1(sha256: string, sizeBytes: number): string {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${sizeBytes}\n`;
  return createHash('sha1').update(`blob ${pointer.length}\0${pointer}`).digest('hex');
}

interface Target {
  readonly id: string;
  readonly branch: string;
}
type Fail = (status: number, code: string | null, error?: string) => void;

async function createBranch({ repositories }: State, { id, branch }: Target, request: IncomingMessage, fail: Fail, response: ServerResponse): Promise<void> {
  const { startingPoint = 'main' } = JSON.parse(String(await bodyOf(request)) || '{}') as { startingPoint?: string };
  const repository = repositories.all.get(id)!;
  if (repository.branches.has(branch)) return fail(409, null, 'Reference already exists');
  const start = repositories.commitOf(id, startingPoint);
  if (start === null) return fail(404, 'RevisionNotFound', 'Invalid starting point');
  repository.branches.set(branch, start.sha);
  send(response, 200, {});
}

async function preupload(
  { repositories, behaviour }: State,
  { id, branch }: Target,
  request: IncomingMessage,
  fail: Fail,
  response: ServerResponse,
): Promise<void> {
  const commit = repositories.commitOf(id, branch);
  if (commit === null) return fail(404, 'RevisionNotFound', 'Invalid rev id');
  const { files } = JSON.parse(String(await bodyOf(request))) as { files: { path: string; size: number; sample: string }[] };
  const answer = files.map(({ path, size, sample }) => {
    const head = Buffer.from(sample, 'base64');
    if (head.length !== Math.min(512, size)) throw new Error('the sample is not the first 512 bytes');
    const large = /\.(safetensors|gguf)$/.test(path) || head.includes(0) || size > (behaviour.regularAtMostBytes ?? 64 * 1024);
    const known = commit.files.get(path);
    return {
      path,
      uploadMode: large ? 'lfs' : 'regular',
      shouldIgnore: false,
      ...(known === undefined ? {} : { oid: known.lfs ? known.sha256 : known.gitSha1 }),
    };
  });
  send(response, 200, { files: answer, commitOid: commit.sha });
}

async function batch(state: State, id: string, request: IncomingMessage, fail: Fail, response: ServerResponse): Promise<void> {
  const { behaviour } = state;
  const body = JSON.parse(String(await bodyOf(request))) as {
    operation: string;
    hash_algo: string;
    transfers: string[];
    objects: { oid: string; size: number }[];
  };
  if (body.operation !== 'upload' || !['sha_256', 'sha256'].includes(body.hash_algo)) return fail(422, null, 'bad batch');
  const objects = body.objects.map(({ oid, size }) => {
    if (state.repositories.has(oid)) return { oid, size };
    const verify = { href: `${state.hubOrigin}/${id}.git/info/lfs/objects/verify` };
    const upload = `${oid.slice(0, 12)}-${state.uploads.size}`;
    const partBytes = behaviour.partBytes ?? 1024 * 1024;
    state.uploads.set(upload, { oid, sizeBytes: size, partBytes, etags: new Map(), generation: state.generation });
    if (size < (behaviour.multipartAtLeastBytes ?? 8 * 1024 * 1024))
      return { oid, size, actions: { upload: { href: `${state.storageOrigin}/upload/${upload}/whole?signature=s3cret` }, verify } };
    const parts = Array.from({ length: Math.ceil(size / partBytes) }, (_, i) => [
      String(i + 1).padStart(5, '0'),
      `${state.storageOrigin}/upload/${upload}/${i + 1}?signature=s3cret`,
    ]);
    return {
      oid,
      size,
      actions: {
        upload: {
          href: `${state.hubOrigin}/api/complete_multipart?upload=${upload}&signature=s3cret`,
          header: { chunk_size: String(partBytes), ...Object.fromEntries(parts) },
        },
        verify,
      },
    };
  });
  send(response, 200, { transfer: 'basic', objects }, { 'content-type': 'application/vnd.git-lfs+json' });
}

type Line = { key: string; value: Record<string, unknown> };

async function makeCommit(state: State, { id, branch }: Target, request: IncomingMessage, fail: Fail, response: ServerResponse): Promise<void> {
  const { repositories, behaviour, counters } = state;
  const lines = String(await bodyOf(request))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
  const before = repositories.commitOf(id, branch);
  if (before === null) return fail(404, 'RevisionNotFound', 'Invalid rev id');
  if (counters.foreign < (behaviour.foreignCommits ?? 0)) {
    counters.foreign++;
    const note = await repositories.keep(Readable.from([Buffer.from(`note ${counters.foreign}`)]));
    repositories.addCommit(id, branch, { summary: 'somebody else', files: new Map([...before.files, ['NOTE.md', note!]]) });
  }
  const head = repositories.commitOf(id, branch)!;
  const files = new Map<string, HubFileEntry>(head.files);
  const header = lines[0];
  if (header?.key !== 'header' || typeof header.value['summary'] !== 'string') return fail(400, null, 'the header comes first');
  if (header.value['parentCommit'] !== undefined && header.value['parentCommit'] !== head.sha)
    return fail(412, null, 'A commit has happened since. Please refresh and try again.');
  for (const { key, value } of lines.slice(1)) {
    const path = String(value['path']);
    if (key === 'deletedFile') {
      if (!files.delete(path)) return fail(404, 'EntryNotFound', "A file with this name doesn't exist");
    } else if (key === 'file') {
      const bytes = Buffer.from(String(value['content']), 'base64');
      if (value['encoding'] !== 'base64' || bytes.includes(0) || bytes.length > (behaviour.regularAtMostBytes ?? 64 * 1024))
        return fail(400, null, `${path} is binary or large: use LFS`);
      files.set(path, (await repositories.keep(Readable.from([bytes])))!);
    } else if (key === 'lfsFile') {
      const oid = String(value['oid']);
      if (value['algo'] !== 'sha256' || !repositories.has(oid)) return fail(400, null, `LFS pointer of ${path} points to a file that does not exist`);
      const check = createHash('sha256');
      let sizeBytes = 0;
      for await (const piece of createReadStream(repositories.pathOf(oid))) {
        check.update(piece as Buffer);
        sizeBytes += (piece as Buffer).length;
      }
      if (check.digest('hex') !== oid || sizeBytes !== value['size']) return fail(400, null, `${path} has another size or digest`);
      files.set(path, { sha256: oid, sizeBytes, lfs: true, gitSha1: pointerSha1(oid, sizeBytes) });
    } else return fail(400, null, `unknown operation ${key}`);
  }
  const made = repositories.addCommit(id, branch, { summary: String(header.value['summary']), files });
  if (counters.lost < (behaviour.loseCommitAnswers ?? 0)) {
    counters.lost++;
    response.destroy();
    return;
  }
  send(response, 200, { success: true, commitOid: made.sha, commitUrl: `${state.hubOrigin}/${id}/commit/${made.sha}`, hookOutput: '' });
}
