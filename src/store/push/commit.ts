import { createHash } from 'node:crypto';
import { z } from 'zod';
import { HearthError } from '../../core/index.ts';
import { jsonBody } from './json-body.ts';
import type { HashedFile } from './lint.ts';
import { readListed } from './open-file.ts';
import { hubSays, type PushBody, type PushHub } from './push-hub.ts';
import { apiPath, parseAnswer } from './remote-state.ts';

export type UploadMode = 'regular' | 'lfs';

const PREUPLOAD_BATCH = 100;
const SAMPLE_BYTES = 512;
/** A multiple of 3, so that the base64 of the pieces joins without padding. */
const BASE64_PIECE_BYTES = 192 * 1024;

const preuploadSchema = z.object({
  files: z.array(z.object({ path: z.string(), uploadMode: z.enum(['regular', 'lfs']), shouldIgnore: z.boolean().nullish() })),
});
const commitSchema = z.object({ commitOid: z.string().regex(/^[0-9a-f]{40}$/), commitUrl: z.string() });

/** Asks the hub which files go into git itself and which to its storage; null: the repository's own .gitignore leaves the file out. */
export async function askModes(
  hub: PushHub,
  target: { readonly repository: string; readonly branch: string },
  files: readonly HashedFile[],
): Promise<Map<string, UploadMode | null>> {
  const modes = new Map<string, UploadMode | null>();
  for (let at = 0; at < files.length; at += PREUPLOAD_BATCH) {
    const batch = files.slice(at, at + PREUPLOAD_BATCH);
    const asked = await Promise.all(batch.map(async (file) => ({ path: file.path, size: file.sizeBytes, sample: await sampleOf(file) })));
    const to = apiPath(target.repository, `/preupload/${encodeURIComponent(target.branch)}`);
    const answer = parseAnswer(
      preuploadSchema,
      await hub.send({ method: 'POST', to, ...jsonBody({ files: asked }), doing: 'asking how files are kept' }),
      'answer about the files',
    );
    for (const file of answer.files) modes.set(file.path, file.shouldIgnore === true ? null : file.uploadMode);
  }
  for (const file of files) {
    if (!modes.has(file.path)) throw new HearthError('upload_failed', `The hub did not say how ${file.path} is kept.`);
    // The storage takes no empty objects.
    if (file.sizeBytes === 0 && modes.get(file.path) === 'lfs') modes.set(file.path, 'regular');
  }
  return modes;
}

async function sampleOf(file: HashedFile): Promise<string> {
  for await (const piece of readListed(file, { end: Math.min(SAMPLE_BYTES, file.sizeBytes) })) return Buffer.from(piece).toString('base64');
  return '';
}

export interface CommitRequest {
  readonly repository: string;
  readonly branch: string;
  readonly message: string;
  /** Head that the plan was made against; null for a branch without commits. */
  readonly parent: string | null;
  readonly regular: readonly HashedFile[];
  readonly large: readonly HashedFile[];
  readonly deleted: readonly string[];
}

export type CommitResult = { readonly kind: 'done'; readonly sha: string; readonly url: string } | { readonly kind: 'moved' };

/** One commit of everything, as lines of JSON that are read from the disk while they are sent. `moved`: the branch has another head by now. */
export async function commit(hub: PushHub, request: CommitRequest): Promise<CommitResult> {
  const answer = await hub.send({
    method: 'POST',
    to: apiPath(request.repository, `/commit/${encodeURIComponent(request.branch)}`),
    headers: { 'content-type': 'application/x-ndjson', accept: 'application/json' },
    body: () => commitBody(request),
    doing: 'committing',
    accept: [409, 412],
  });
  if (answer.status === 412) return { kind: 'moved' };
  if (answer.status === 409) throw new HearthError('push_conflict', `The hub could not commit to ${request.branch}${hubSays(answer)}.`);
  const { commitOid, commitUrl } = parseAnswer(commitSchema, answer, 'answer to the commit');
  return { kind: 'done', sha: commitOid, url: commitUrl };
}

function commitBody(request: CommitRequest): PushBody {
  const line = (key: string, value: unknown): Buffer => Buffer.from(`${JSON.stringify({ key, value })}\n`);
  const header = { summary: request.message, description: '', ...(request.parent === null ? {} : { parentCommit: request.parent }) };
  const heads = [
    line('header', header),
    ...request.large.map((file) => line('lfsFile', { path: file.path, algo: 'sha256', size: file.sizeBytes, oid: file.sha256 })),
    ...request.deleted.map((path) => line('deletedFile', { path })),
  ];
  const files = request.regular.map((file) => {
    const before = Buffer.from(`{"key":"file","value":{"path":${JSON.stringify(file.path)},"encoding":"base64","content":"`);
    return { file, before, length: before.length + 4 * Math.ceil(file.sizeBytes / 3) + AFTER.length };
  });
  async function* pieces(): AsyncGenerator<Uint8Array, void> {
    yield* heads;
    for (const { file, before } of files) {
      yield before;
      yield* base64Of(file);
      yield AFTER;
    }
  }
  return { length: [...heads, ...files].reduce((sum, { length }) => sum + length, 0), pieces: pieces() };
}

const AFTER = Buffer.from('"}}\n');

/** What is committed is what was read and found harmless before. Errors: push_refused. */
async function* base64Of(file: HashedFile): AsyncGenerator<Uint8Array, void> {
  const hash = createHash('sha256');
  for await (const piece of readListed(file, { pieceBytes: BASE64_PIECE_BYTES })) {
    hash.update(piece);
    yield Buffer.from(Buffer.from(piece).toString('base64'), 'latin1');
  }
  if (hash.digest('hex') !== file.sha256) throw new HearthError('push_refused', `${file.path} changed while it was being pushed; nothing was committed.`);
}
