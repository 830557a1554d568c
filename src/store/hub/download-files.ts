import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HearthError, makePrivateDirectory } from '../../core/index.ts';
import { acquireBlobLock, type BlobLock } from '../blob-lock.ts';
import type { PullProgress, StoreOptions } from '../options.ts';
import { createBlobDigest } from './blob-digest.ts';
import { downloadBlob, partialPath } from './download-blob.ts';
import type { HubFile } from './file-set.ts';

export interface DownloadRequest {
  readonly target: { readonly name: string; readonly directory: string };
  readonly commit: string;
  readonly files: readonly HubFile[];
  readonly parameters: {
    readonly force?: boolean;
    readonly forceResume?: boolean;
    readonly workers?: number;
    readonly onProgress?: (progress: PullProgress) => void;
    readonly onNotice?: (message: string) => void;
  };
  readonly signal: AbortSignal;
}

export interface Downloaded {
  readonly bytes: number;
  /** SHA-256 by listed digest, of the files that were fetched now. */
  readonly sha256: ReadonlyMap<string, string>;
}

const SPACE_FACTOR = 1.2;

/** Fetches what is missing into `blobs/`, several files at once; gives what came over the network. Errors: insufficient_space and those of `downloadBlob`. */
export async function downloadFiles(options: StoreOptions, request: DownloadRequest): Promise<Downloaded> {
  const blobsDirectory = join(request.target.directory, 'blobs');
  const files = [...new Map(request.files.map((file) => [file.digest, file])).values()];
  const missing: HubFile[] = [];
  for (const file of files) if (request.parameters.force === true || !(await isWhole(join(blobsDirectory, file.digest), file, request))) missing.push(file);
  await requireSpace(options, blobsDirectory, missing);
  await makePrivateDirectory(blobsDirectory);
  const report = progressOf(request, files, missing);
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(request.signal.reason);
  request.signal.throwIfAborted();
  request.signal.addEventListener('abort', onAbort);
  const { onNotice } = request.parameters;
  const context = { hub: options.hub, sleep: options.sleep, ...(onNotice === undefined ? {} : { onNotice }) };
  const queue = missing.toSorted((a, b) => b.sizeBytes - a.sizeBytes);
  const sha256 = new Map<string, string>();
  let bytes = 0;
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const current = file;
      await using lock = await lockBlob(options, request, current, stop.signal);
      if (lock.waited && request.parameters.force !== true && (await isWhole(join(blobsDirectory, current.digest), current, request))) {
        report(current, current.sizeBytes);
        continue;
      }
      const fetched = await downloadBlob(context, {
        name: request.target.name,
        commit: request.commit,
        file: current,
        blobsDirectory,
        onBytes: (done) => report(current, done),
        signal: stop.signal,
      });
      bytes += fetched.fetchedBytes;
      sha256.set(current.digest, fetched.sha256);
    }
  };
  const count = Math.max(1, Math.min(request.parameters.workers ?? 4, missing.length));
  let failure: { readonly error: unknown } | null = null;
  await Promise.allSettled(
    Array.from({ length: count }, () =>
      worker().catch((error: unknown) => {
        // The first failure ends the others; they keep what they have for the next time.
        failure ??= { error };
        stop.abort();
      }),
    ),
  );
  request.signal.removeEventListener('abort', onAbort);
  request.signal.throwIfAborted();
  if (failure !== null) throw (failure as { readonly error: unknown }).error;
  return { bytes, sha256 };
}

/** A blob of the right size is whole, since a name is given only after its digest was checked; when the model was found damaged it is hashed again. */
async function isWhole(path: string, file: HubFile, request: DownloadRequest): Promise<boolean> {
  try {
    if ((await stat(path)).size !== file.sizeBytes) return false;
  } catch {
    return false;
  }
  if (request.parameters.forceResume !== true) return true;
  const digest = createBlobDigest(file.digest, file.sizeBytes);
  await digest.updateFromFile(path, file.sizeBytes, request.signal);
  return digest.finish().matches;
}

async function requireSpace(options: StoreOptions, blobsDirectory: string, missing: readonly HubFile[]): Promise<void> {
  let needed = 0;
  for (const file of missing) needed += file.sizeBytes - (await sizeOf(partialPath(blobsDirectory, file.digest)));
  await requireFreeSpace(options, dirname(blobsDirectory), needed);
}

/** Refuses before the first byte. Errors: insufficient_space, with the numbers in its details. */
export async function requireFreeSpace(options: Pick<StoreOptions, 'freeSpace'>, directory: string, bytes: number): Promise<void> {
  const requiredBytes = Math.ceil(Math.max(0, bytes) * SPACE_FACTOR);
  if (requiredBytes === 0) return;
  const existing = await nearestExisting(directory);
  const freeBytes = await options.freeSpace(existing);
  if (freeBytes >= requiredBytes) return;
  const gigabytes = (value: number): string => `${(value / 1e9).toFixed(2)} GB`;
  throw new HearthError('insufficient_space', `${gigabytes(requiredBytes)} must be free at ${existing}, but only ${gigabytes(freeBytes)} are.`, {
    details: { directory: existing, required_bytes: requiredBytes, free_bytes: freeBytes, missing_bytes: Math.max(0, bytes) },
  });
}

async function nearestExisting(directory: string): Promise<string> {
  try {
    await stat(directory);
    return directory;
  } catch {
    return directory === dirname(directory) ? directory : nearestExisting(dirname(directory));
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}

function progressOf(request: DownloadRequest, files: readonly HubFile[], missing: readonly HubFile[]): (file: HubFile, doneBytes: number) => void {
  const totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const done = new Map(files.map((file) => [file.digest, missing.includes(file) ? 0 : file.sizeBytes]));
  let doneBytes = [...done.values()].reduce((sum, bytes) => sum + bytes, 0);
  return (file, fileDoneBytes) => {
    doneBytes += fileDoneBytes - (done.get(file.digest) ?? 0);
    done.set(file.digest, fileDoneBytes);
    request.parameters.onProgress?.({ file: file.path, fileDoneBytes, fileTotalBytes: file.sizeBytes, doneBytes, totalBytes });
  };
}

function lockBlob(options: StoreOptions, request: DownloadRequest, file: HubFile, signal: AbortSignal): Promise<BlobLock> {
  const path = join(options.cacheDirectory, '.locks', basename(request.target.directory), `${file.digest}.lock`);
  const onWait = (): void => request.parameters.onNotice?.(`Another program is fetching ${file.path} of ${request.target.name}; waiting for it.`);
  return acquireBlobLock(path, { sleep: options.sleep, signal, onWait });
}
