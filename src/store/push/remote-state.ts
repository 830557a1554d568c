import { z } from 'zod';
import { HearthError } from '../../core/index.ts';
import type { PushAnswer, PushHub } from './push-hub.ts';

export interface RemoteFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** SHA-256 of an LFS file, else the git blob SHA-1. */
  readonly digest: string;
}

export interface RemoteBranch {
  /** 40 hex digits. */
  readonly commit: string;
  readonly files: readonly RemoteFile[];
}

const SHA1 = /^[0-9a-f]{40}$/;
const repositorySchema = z.object({ private: z.boolean() });
const branchSchema = z.object({
  sha: z.string().regex(SHA1),
  siblings: z
    .array(
      z.object({
        rfilename: z.string(),
        size: z.int().min(0).nullish(),
        blobId: z.string().nullish(),
        lfs: z.object({ sha256: z.string(), size: z.int().min(0) }).nullish(),
      }),
    )
    .max(100_000),
});
const whoamiSchema = z.object({ auth: z.object({ accessToken: z.object({ role: z.string() }) }) });

export const apiPath = (repository: string, rest = ''): string => `/api/models/${repository}${rest}`;

/** The answer as JSON of the expected shape. Errors: upload_failed. */
export function parseAnswer<S extends z.ZodType>(schema: S, answer: PushAnswer, what: string): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(answer.text);
  } catch {
    throw new HearthError('upload_failed', `The hub's ${what} is not JSON.`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new HearthError('upload_failed', `The hub's ${what} has another shape than expected (${parsed.error.issues[0]?.path.join('.')}).`);
  return parsed.data;
}

/** Whether the repository is there, for this token. Errors: repo_not_private, auth_error, and those of the network. */
export async function readRepository(hub: PushHub, repository: string): Promise<'there' | 'absent'> {
  const answer = await hub.send({ method: 'GET', to: apiPath(repository), doing: 'asking for the repository', accept: [401, 403, 404] });
  if (answer.status === 401 && !/^Repo/.test(answer.headers.get('x-error-code') ?? ''))
    throw new HearthError('auth_error', 'The hub does not accept the token in HF_TOKEN.', { details: { status: 401 } });
  // The hub hides what a token may not see as missing.
  if (answer.status !== 200) return 'absent';
  if (!parseAnswer(repositorySchema, answer, 'description of the repository').private)
    throw new HearthError('repo_not_private', `${repository} is public on the hub; nothing was sent.`, { details: { repository } });
  return 'there';
}

/** Head and files of a branch; null when there is no such branch. */
export async function readBranch(hub: PushHub, repository: string, branch: string): Promise<RemoteBranch | null> {
  const path = apiPath(repository, `/revision/${encodeURIComponent(branch)}?blobs=true`);
  const answer = await hub.send({ method: 'GET', to: path, doing: 'asking for the branch', accept: [404] });
  if (answer.status === 404) return null;
  const info = parseAnswer(branchSchema, answer, 'listing of the branch');
  return {
    commit: info.sha,
    files: info.siblings.map((file) => ({ path: file.rfilename, sizeBytes: file.lfs?.size ?? file.size ?? 0, digest: file.lfs?.sha256 ?? file.blobId ?? '' })),
  };
}

/** A token that may only read is told before anything is sent. A hub that does not know the question decides at the first write. Errors: auth_error. */
export async function checkTokenScope(hub: PushHub): Promise<void> {
  const answer = await hub.send({ method: 'GET', to: '/api/whoami-v2', doing: 'asking what the token may do', accept: [404] });
  if (answer.status === 404) return;
  const { role } = parseAnswer(whoamiSchema, answer, 'answer about the token').auth.accessToken;
  if (role === 'read') throw new HearthError('auth_error', 'The token in HF_TOKEN may only read; nothing was sent.', { details: { role } });
}
