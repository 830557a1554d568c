import { createHash } from 'node:crypto';
import { chmod, type FileHandle, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError, isHearthError, syncDirectory } from '../../core/index.ts';
import type { HubOptions, StoreOptions } from '../options.ts';
import { createDeadline, type Deadline } from './deadline.ts';
import { blobHash, hashFile } from './digest.ts';
import type { HubFile } from './file-set.ts';
import { checkStatus, resolvePath, retryDelayMs } from './hub-client.ts';
import { type HubResponse, hubGet, TransientError } from './hub-request.ts';

export interface BlobRequest {
  readonly name: string;
  readonly commit: string;
  readonly file: HubFile;
  /** `<model directory>/blobs`. */
  readonly blobsDirectory: string;
  /** Told the bytes of this file that are on the disk. */
  readonly onBytes: (doneBytes: number) => void;
  readonly signal: AbortSignal;
}

export interface DownloadedBlob {
  readonly fetchedBytes: number;
  readonly sha256: string;
}

const MAX_TRIES_WITHOUT_PROGRESS = 8;
const BLOB_MODE = 0o400;

export const partialPath = (blobsDirectory: string, digest: string): string => join(blobsDirectory, `${digest}.incomplete`);
const etagPath = (blobsDirectory: string, digest: string): string => join(blobsDirectory, `${digest}.etag`);

/**
 * Fetches one blob: continues what an earlier try left, verifies size and digest, and only then gives the file its name.
 * Gives the bytes that came over the network, and the SHA-256 of the whole.
 * Errors: checksum_mismatch, download_failed, access_denied.
 */
export async function downloadBlob(
  context: { readonly hub: HubOptions; readonly sleep: StoreOptions['sleep'] },
  request: BlobRequest,
): Promise<DownloadedBlob> {
  let fetched = 0;
  let triesWithoutProgress = 0;
  for (;;) {
    const before = fetched;
    try {
      const sha256 = await attempt(context.hub, request, (bytes) => {
        fetched += bytes;
      });
      return { fetchedBytes: fetched, sha256 };
    } catch (error) {
      // The hub answered a moment ago: a network that went away may come back.
      const passing = error instanceof TransientError || (isHearthError(error) && error.code === 'hub_unreachable');
      if (!passing) throw error;
      triesWithoutProgress = fetched > before ? 0 : triesWithoutProgress + 1;
      if (triesWithoutProgress > MAX_TRIES_WITHOUT_PROGRESS) {
        throw new HearthError('download_failed', `${request.file.path} could not be fetched: ${error.message}.`, { cause: error });
      }
      await context.sleep(retryDelayMs(triesWithoutProgress + 1), request.signal);
    }
  }
}

async function attempt(hub: HubOptions, request: BlobRequest, onFetched: (bytes: number) => void): Promise<string> {
  const { file, blobsDirectory, signal } = request;
  const partial = partialPath(blobsDirectory, file.digest);
  const held = await resumableBytes(request);
  if (held.bytes < file.sizeBytes || file.sizeBytes === 0) await fetchRest(hub, request, held, onFetched);
  const hash = blobHash(file.digest, file.sizeBytes);
  // A small file is listed by a SHA-1; its SHA-256 is ours to record.
  const own = file.digest.length === 64 ? null : createHash('sha256');
  await hashFile(hash, partial, file.sizeBytes, signal);
  if (own !== null) await hashFile(own, partial, file.sizeBytes, signal);
  const { size } = await stat(partial);
  if (size !== file.sizeBytes || hash.digest('hex') !== file.digest) {
    await discard(request);
    throw new HearthError(
      'checksum_mismatch',
      `${file.path} of ${request.name} is not what the hub lists (${size} bytes came, ${file.sizeBytes} are listed); it was deleted.`,
    );
  }
  await chmod(partial, BLOB_MODE);
  await rename(partial, join(blobsDirectory, file.digest));
  await rm(etagPath(blobsDirectory, file.digest), { force: true });
  await syncDirectory(blobsDirectory);
  return own?.digest('hex') ?? file.digest;
}

interface Held {
  readonly bytes: number;
  /** ETag of the answer that the held bytes came from. */
  readonly etag: string | null;
}

/** What an earlier try left. Without the ETag of its source it cannot be continued safely and is dropped. */
async function resumableBytes(request: BlobRequest): Promise<Held> {
  const { file, blobsDirectory } = request;
  try {
    const { size } = await stat(partialPath(blobsDirectory, file.digest));
    const etag = (await readFile(etagPath(blobsDirectory, file.digest), 'utf8')).trim();
    if (size > 0 && size <= file.sizeBytes && /^"[\x21\x23-\x7e]{1,256}"$/.test(etag)) return { bytes: size, etag };
  } catch {
    // No partial file, or none that says where it came from.
  }
  await discard(request);
  return { bytes: 0, etag: null };
}

async function discard(request: BlobRequest): Promise<void> {
  await rm(partialPath(request.blobsDirectory, request.file.digest), { force: true });
  await rm(etagPath(request.blobsDirectory, request.file.digest), { force: true });
}

async function fetchRest(hub: HubOptions, request: BlobRequest, held: Held, onFetched: (bytes: number) => void): Promise<void> {
  const { file, blobsDirectory, signal } = request;
  using deadline = createDeadline(signal, hub.timeoutMs);
  const range = held.bytes > 0 ? { range: `bytes=${held.bytes}-`, 'if-range': held.etag ?? '' } : {};
  const answer = await hubGet(hub, resolvePath(request.name, request.commit, file.path), range, deadline);
  const { response } = answer;
  if (response.status === 416) {
    // What we hold is longer than what the source has: begin again.
    await response.body?.cancel();
    await discard(request);
    throw new TransientError('the source refused the range');
  }
  await checkStatus(answer, hub, { name: request.name, revision: request.commit, file: file.path });
  try {
    checkListed(answer, request);
  } catch (error) {
    await response.body?.cancel();
    throw error;
  }
  const start = response.status === 206 ? held.bytes : 0;
  if (response.status === 206 && !(response.headers.get('content-range') ?? '').startsWith(`bytes ${start}-`)) {
    await response.body?.cancel();
    await discard(request);
    throw new TransientError('the source sent another range than the one asked for');
  }
  const etag = response.headers.get('etag');
  if (etag?.startsWith('"')) await writeFile(etagPath(blobsDirectory, file.digest), etag, { mode: 0o600 });
  else await rm(etagPath(blobsDirectory, file.digest), { force: true });
  const handle = await open(partialPath(blobsDirectory, file.digest), start > 0 ? 'r+' : 'w', 0o600);
  try {
    await copyBody(handle, response, start, { request, deadline, onFetched });
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function copyBody(
  handle: FileHandle,
  response: Response,
  start: number,
  context: { readonly request: BlobRequest; readonly deadline: Deadline; readonly onFetched: (bytes: number) => void },
): Promise<void> {
  const { request, deadline, onFetched } = context;
  let position = start;
  request.onBytes(position);
  if (start === 0) await handle.truncate(0);
  const chunks = (response.body ?? new ReadableStream<Uint8Array>({ start: (controller) => controller.close() }))[Symbol.asyncIterator]();
  for (;;) {
    deadline.restart();
    const next = await readChunk(chunks, deadline);
    if (next === null) break;
    if (position + next.length > request.file.sizeBytes) {
      await chunks.return?.();
      await discard(request);
      throw new HearthError('checksum_mismatch', `${request.file.path} of ${request.name} is longer than the hub lists; it was deleted.`);
    }
    await writeAll(handle, next, position);
    position += next.length;
    onFetched(next.length);
    request.onBytes(position);
  }
  if (position < request.file.sizeBytes) throw new TransientError(`the connection ended after ${position} of ${request.file.sizeBytes} bytes`);
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}

async function readChunk(chunks: AsyncIterator<Uint8Array>, deadline: Deadline): Promise<Uint8Array | null> {
  try {
    const next = await chunks.next();
    return next.done === true ? null : next.value;
  } catch (error) {
    if (deadline.signal.aborted && !deadline.expired) throw error;
    throw new TransientError(deadline.expired ? 'no byte came for too long' : 'the connection broke', error);
  }
}

/** The hub's own headers must name the commit and the digest that its listing names. Errors: checksum_mismatch. */
function checkListed({ hubHeaders, response, fromHub }: HubResponse, request: BlobRequest): void {
  const commit = hubHeaders.get('x-repo-commit');
  const linked = hubHeaders.get('x-linked-etag') ?? (fromHub ? response.headers.get('etag') : null);
  const size = hubHeaders.get('x-linked-size');
  const differs = (what: string): HearthError =>
    new HearthError('checksum_mismatch', `The hub lists ${request.file.path} of ${request.name} with another ${what} than it serves; nothing was kept.`);
  if (commit !== null && commit !== request.commit) throw differs('commit');
  if (linked !== null && bareEtag(linked) !== request.file.digest) throw differs('digest');
  if (size !== null && Number(size) !== request.file.sizeBytes) throw differs('size');
  const length = response.headers.get('content-length');
  if (response.status === 200 && length !== null && Number(length) !== request.file.sizeBytes) throw differs('length');
}

const bareEtag = (etag: string): string => etag.replace(/^W\//, '').replaceAll('"', '');
