import { chmod, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError, syncDirectory } from '../../core/index.ts';
import type { HubOptions } from '../options.ts';
import { type BlobDigest, createBlobDigest } from './blob-digest.ts';
import { createDeadline, type Deadline } from './deadline.ts';
import { createFileAppender } from './file-appender.ts';
import type { HubFile } from './file-set.ts';
import { checkStatus, resolvePath } from './hub-client.ts';
import { type HubResponse, hubGet, TransientError } from './hub-request.ts';
import { isPassing, type RetryContext, waitForRetry } from './retries.ts';

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

/** A name that no other tool of the shared cache writes to: `<blob>.incomplete` is theirs. */
export const partialPath = (blobsDirectory: string, digest: string): string => join(blobsDirectory, `${digest}.hearth.incomplete`);
const etagPath = (blobsDirectory: string, digest: string): string => join(blobsDirectory, `${digest}.hearth.etag`);

/** One download over all its tries. */
interface Transfer extends BlobRequest {
  readonly hub: HubOptions;
  /** Follows what is on the disk, so that only an earlier process's bytes are read again. */
  digest: BlobDigest;
  fetchedBytes: number;
}

/**
 * Fetches one blob: continues what an earlier try left, verifies size and digest, and only then gives the file its name.
 * Gives the bytes that came over the network, and the SHA-256 of the whole.
 * Errors: checksum_mismatch, download_failed, access_denied.
 */
export async function downloadBlob(context: { readonly hub: HubOptions } & RetryContext, request: BlobRequest): Promise<DownloadedBlob> {
  const transfer: Transfer = { ...request, hub: context.hub, digest: newDigest(request), fetchedBytes: 0 };
  let triesWithoutProgress = 0;
  for (;;) {
    const before = transfer.fetchedBytes;
    try {
      const sha256 = await attempt(transfer);
      return { fetchedBytes: transfer.fetchedBytes, sha256 };
    } catch (error) {
      if (!isPassing(error)) throw error;
      triesWithoutProgress = transfer.fetchedBytes > before ? 0 : triesWithoutProgress + 1;
      if (triesWithoutProgress > MAX_TRIES_WITHOUT_PROGRESS) {
        throw new HearthError('download_failed', `${request.file.path} could not be fetched: ${error.message}.`, { cause: error });
      }
      await waitForRetry(context, error, triesWithoutProgress + 1, request.signal);
    }
  }
}

const newDigest = ({ file }: BlobRequest): BlobDigest => createBlobDigest(file.digest, file.sizeBytes);

async function attempt(transfer: Transfer): Promise<string> {
  const { file, blobsDirectory } = transfer;
  const partial = partialPath(blobsDirectory, file.digest);
  const held = await resumableBytes(transfer);
  if (transfer.digest.bytes > held.bytes) transfer.digest = newDigest(transfer);
  await transfer.digest.updateFromFile(partial, held.bytes, transfer.signal);
  if (held.bytes < file.sizeBytes || file.sizeBytes === 0) await fetchRest(transfer, held);
  const { matches, sha256 } = transfer.digest.finish();
  if (!matches) {
    await discard(transfer);
    throw new HearthError('checksum_mismatch', `${file.path} of ${transfer.name} is not what the hub lists: its digest is another one. It was deleted.`);
  }
  await chmod(partial, BLOB_MODE);
  await rename(partial, join(blobsDirectory, file.digest));
  await rm(etagPath(blobsDirectory, file.digest), { force: true });
  await syncDirectory(blobsDirectory);
  return sha256;
}

interface Held {
  readonly bytes: number;
  /** ETag of the answer that the held bytes came from. */
  readonly etag: string | null;
}

/** What an earlier try left. Without the ETag of its source it cannot be continued safely and is dropped. */
async function resumableBytes(transfer: Transfer): Promise<Held> {
  const { file, blobsDirectory } = transfer;
  try {
    const { size } = await stat(partialPath(blobsDirectory, file.digest));
    const etag = (await readFile(etagPath(blobsDirectory, file.digest), 'utf8')).trim();
    if (size > 0 && size <= file.sizeBytes && /^"[\x21\x23-\x7e]{1,256}"$/.test(etag)) return { bytes: size, etag };
  } catch {
    // No partial file, or none that says where it came from.
  }
  await discard(transfer);
  return { bytes: 0, etag: null };
}

async function discard(transfer: Transfer): Promise<void> {
  await rm(partialPath(transfer.blobsDirectory, transfer.file.digest), { force: true });
  await rm(etagPath(transfer.blobsDirectory, transfer.file.digest), { force: true });
  transfer.digest = newDigest(transfer);
}

async function fetchRest(transfer: Transfer, held: Held): Promise<void> {
  const { hub, file, blobsDirectory } = transfer;
  using deadline = createDeadline(transfer.signal, hub.timeoutMs);
  const range = held.bytes > 0 ? { range: `bytes=${held.bytes}-`, 'if-range': held.etag ?? '' } : {};
  const answer = await hubGet(hub, resolvePath(transfer.name, transfer.commit, file.path), range, deadline);
  const { response } = answer;
  if (response.status === 416) {
    // What we hold is longer than what the source has: begin again.
    await response.body?.cancel();
    await discard(transfer);
    throw new TransientError('the source refused the range');
  }
  await checkStatus(answer, hub, { name: transfer.name, revision: transfer.commit, file: file.path });
  try {
    checkListed(answer, transfer);
  } catch (error) {
    await response.body?.cancel();
    // What is held came from a source that the hub now contradicts.
    await discard(transfer);
    throw error;
  }
  const start = response.status === 206 ? held.bytes : 0;
  if (response.status === 206 && !(response.headers.get('content-range') ?? '').startsWith(`bytes ${start}-`)) {
    await response.body?.cancel();
    await discard(transfer);
    throw new TransientError('the source sent another range than the one asked for');
  }
  if (start === 0) transfer.digest = newDigest(transfer);
  const partial = partialPath(blobsDirectory, file.digest);
  // A fresh file, never one that somebody put there: the old one goes first, and a link is not followed.
  if (start === 0) await rm(partial, { force: true });
  const handle = await open(partial, start > 0 ? 'r+' : 'wx', 0o600);
  try {
    const etag = response.headers.get('etag');
    if (etag?.startsWith('"')) await writeFile(etagPath(blobsDirectory, file.digest), etag, { mode: 0o600 });
    else await rm(etagPath(blobsDirectory, file.digest), { force: true });
    await copyBody(transfer, { response, deadline, appender: createFileAppender(handle, start, transfer.onBytes) });
    await handle.sync();
  } catch (error) {
    await response.body?.cancel().catch(() => {});
    throw error;
  } finally {
    await handle.close();
  }
}

async function copyBody(
  transfer: Transfer,
  { response, deadline, appender }: { readonly response: Response; readonly deadline: Deadline; readonly appender: ReturnType<typeof createFileAppender> },
): Promise<void> {
  const { file, digest } = transfer;
  transfer.onBytes(digest.bytes);
  const chunks = (response.body ?? new ReadableStream<Uint8Array>({ start: (controller) => controller.close() }))[Symbol.asyncIterator]();
  try {
    for (;;) {
      deadline.restart();
      const next = await readChunk(chunks, deadline);
      if (next === null) break;
      if (digest.bytes + next.length > file.sizeBytes) {
        await chunks.return?.();
        await discard(transfer);
        throw new HearthError('checksum_mismatch', `${file.path} of ${transfer.name} is longer than the hub lists; it was deleted.`);
      }
      const written = appender.append(next);
      digest.update(next);
      await written;
      transfer.fetchedBytes += next.length;
    }
  } finally {
    // Also when the connection broke: the next try counts on what is on the disk.
    await appender.drain();
  }
  if (digest.bytes < file.sizeBytes) throw new TransientError(`the connection ended after ${digest.bytes} of ${file.sizeBytes} bytes`);
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
function checkListed({ hubHeaders, response, fromHub }: HubResponse, transfer: Transfer): void {
  const { file } = transfer;
  const commit = hubHeaders.get('x-repo-commit');
  const linked = hubHeaders.get('x-linked-etag') ?? (fromHub ? response.headers.get('etag') : null);
  const size = hubHeaders.get('x-linked-size');
  const differs = (what: string): HearthError =>
    new HearthError('checksum_mismatch', `The hub lists ${file.path} of ${transfer.name} with another ${what} than it serves; nothing was kept.`);
  if (commit !== null && commit !== transfer.commit) throw differs('commit');
  if (linked !== null && bareEtag(linked) !== file.digest) throw differs('digest');
  if (size !== null && Number(size) !== file.sizeBytes) throw differs('size');
  const length = response.headers.get('content-length');
  if (response.status === 200 && length !== null && Number(length) !== file.sizeBytes) throw differs('length');
}

const bareEtag = (etag: string): string => etag.replace(/^W\//, '').replaceAll('"', '');
