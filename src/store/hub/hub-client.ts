import { z } from 'zod';
import { HearthError } from '../../core/index.ts';
import type { HubOptions } from '../options.ts';
import { createDeadline, type Deadline } from './deadline.ts';
import { checkFilePaths } from './file-names.ts';
import type { HubFile } from './file-set.ts';
import { type HubResponse, hubGet, TransientError } from './hub-request.ts';
import { type RetryContext, retryAfterMs, waitForRetry } from './retries.ts';

/** A repository at one commit. */
export interface HubModel {
  /** 40 hex digits. */
  readonly commit: string;
  readonly files: readonly HubFile[];
  /** Set when the answer came only after another try. */
  readonly warning: string | null;
}

const SHA256 = /^[0-9a-f]{64}$/;
const SHA1 = /^[0-9a-f]{40}$/;
const MAX_FILES = 10_000;
const MAX_INFO_BYTES = 64 * 1024 * 1024;
const MAX_TRIES = 6;

const infoSchema = z.object({
  sha: z.string().regex(SHA1),
  /** The hub describes gated repositories to everyone; only their files are closed. */
  gated: z.union([z.boolean(), z.string()]).nullish(),
  siblings: z.array(
    z.object({
      rfilename: z.string(),
      size: z.int().min(0).nullish(),
      blobId: z.string().nullish(),
      lfs: z.object({ sha256: z.string(), size: z.int().min(0) }).nullish(),
    }),
  ),
});

/**
 * Asks the hub for the files of a revision; writes nothing.
 * Errors: offline, hub_unreachable, access_denied, hash_not_found, download_failed, name_refused.
 */
export async function fetchHubModel(
  context: { readonly hub: HubOptions } & RetryContext,
  request: { readonly name: string; readonly revision: string; readonly signal: AbortSignal },
): Promise<HubModel> {
  const path = `/api/models/${request.name}/revision/${encodeURIComponent(request.revision)}?blobs=true`;
  const { value, warning } = await withRetries(context, request.signal, async () => {
    using deadline = createDeadline(request.signal, context.hub.timeoutMs);
    const answer = await hubGet(context.hub, path, { accept: 'application/json' }, deadline);
    await checkStatus(answer, context.hub, request);
    const info = await readInfo(answer.response, request.name, deadline);
    if (info.gated) await checkFileAccess(context.hub, { ...request, commit: info.commit }, info.files, deadline);
    return { commit: info.commit, files: info.files };
  });
  return { ...value, warning };
}

/** Asks for one small file, so that a closed repository is refused before anything is written. */
async function checkFileAccess(
  hub: HubOptions,
  request: { readonly name: string; readonly revision: string; readonly commit: string },
  files: readonly HubFile[],
  deadline: Deadline,
): Promise<void> {
  const smallest = files.toSorted((a, b) => a.sizeBytes - b.sizeBytes)[0];
  if (smallest === undefined) return;
  const answer = await hubGet(hub, resolvePath(request.name, request.commit, smallest.path), {}, deadline);
  await checkStatus(answer, hub, { ...request, file: smallest.path });
  await answer.response.body?.cancel();
}

export const resolvePath = (name: string, commit: string, path: string): string =>
  `/${name}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;

/** Tries again after 1, 2, 4 … 30 seconds, 5 times, what failed for a reason that may pass. Errors: those of the task; download_failed. */
async function withRetries<T>(
  context: RetryContext,
  signal: AbortSignal,
  task: () => Promise<T>,
): Promise<{ readonly value: T; readonly warning: string | null }> {
  let warning: string | null = null;
  for (let attempt = 1; ; attempt++) {
    try {
      return { value: await task(), warning };
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      if (attempt >= MAX_TRIES) throw new HearthError('download_failed', `Gave up after ${attempt} tries: ${error.message}.`, { cause: error });
      warning = `${error.message}; it worked at try ${attempt + 1}`;
      await waitForRetry(context, error, attempt, signal);
    }
  }
}

/** Errors: what the status means; TransientError where another try may help. */
export async function checkStatus(
  answer: HubResponse,
  hub: HubOptions,
  request: { readonly name: string; readonly revision: string; readonly file?: string },
): Promise<void> {
  const { response } = answer;
  if (response.ok) return;
  await response.body?.cancel();
  const code = response.headers.get('x-error-code');
  if (response.status >= 500 || response.status === 429 || response.status === 408) {
    const why = response.status === 429 ? ' (too many requests)' : '';
    throw new TransientError(`the hub answered ${response.status}${why}`, undefined, retryAfterMs(response.headers));
  }
  const details = { model: request.name, status: response.status };
  if (code === 'RevisionNotFound') {
    throw new HearthError('hash_not_found', `The hub has no revision "${request.revision}" of ${request.name}.`, { details });
  }
  if (code === 'EntryNotFound') throw new HearthError('download_failed', `The hub lists ${request.file} of ${request.name} but does not have it.`, { details });
  if ([401, 403, 404].includes(response.status)) {
    const gated = code === 'GatedRepo' ? ` It is gated: accept its licence at ${new URL(`/${request.name}`, hub.endpoint).href} first.` : '';
    const token = hub.token === null ? 'No token is set (HF_TOKEN).' : 'The token that is set (HF_TOKEN) does not open it.';
    throw new HearthError('access_denied', `Access to ${request.name} was denied, or it was not found on ${new URL(hub.endpoint).host}.${gated} ${token}`, {
      details,
    });
  }
  throw new HearthError('download_failed', `The hub answered ${response.status} for ${request.name}.`, { details });
}

async function readInfo(response: Response, name: string, deadline: Deadline): Promise<Omit<HubModel, 'warning'> & { readonly gated: boolean }> {
  const invalid = (why: string): HearthError => new HearthError('download_failed', `The hub's description of ${name} cannot be used: ${why}.`);
  let body: unknown;
  try {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body ?? []) {
      deadline.restart();
      bytes += chunk.length;
      if (bytes > MAX_INFO_BYTES) throw invalid('it is larger than 64 MiB');
      chunks.push(chunk);
    }
    body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw invalid('it is not JSON');
    if (error instanceof HearthError || (deadline.signal.aborted && !deadline.expired)) throw error;
    throw new TransientError('the description of the model broke off', error);
  }
  const info = infoSchema.safeParse(body);
  if (!info.success) throw invalid(info.error.issues[0]?.message ?? 'it has another shape');
  if (info.data.siblings.length > MAX_FILES) throw invalid(`it lists more than ${MAX_FILES} files`);
  checkFilePaths(info.data.siblings.map((file) => file.rfilename));
  const files = info.data.siblings.map((file) => {
    const digest = file.lfs?.sha256 ?? file.blobId ?? '';
    const sizeBytes = file.lfs?.size ?? file.size;
    const known = file.lfs === null || file.lfs === undefined ? SHA1.test(digest) : SHA256.test(digest);
    if (!known || sizeBytes === null || sizeBytes === undefined) throw invalid(`${file.rfilename} has no size or no digest`);
    return { path: file.rfilename, sizeBytes, digest };
  });
  return { commit: info.data.sha, files, gated: info.data.gated !== false && info.data.gated !== null && info.data.gated !== undefined };
}
