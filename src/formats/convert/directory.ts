import { randomBytes } from 'node:crypto';
import { access, mkdir, readdir, rename, rm, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { HearthError, isAlive, makePrivateDirectory, syncDirectory } from '../../core/index.ts';

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

/** Throws `insufficient_space` where the file system of the directory has less free than wanted. */
export async function requireSpace(directory: string, wantedBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize;
  if (free >= wantedBytes) return;
  throw new HearthError('insufficient_space', `The conversion needs ${megabytes(wantedBytes)} in ${directory}; ${megabytes(free)} are free.`, {
    details: { directory, wantedBytes, freeBytes: free },
  });
}

export async function refuseExisting(path: string): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists) throw new HearthError('invalid_argument', `${path} is already there; choose another destination or remove it.`);
}

/** Half-made directories of processes that were killed; those of living ones are left alone. */
async function removeAbandoned(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = /^\..+\.(\d+)\.[0-9a-f]{12}\.partial$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(parent, name), { recursive: true, force: true });
  }
}

/**
 * Lets `fill` write into a new directory beside the destination and gives it the final name only when it is complete;
 * on any error nothing is left. Throws `invalid_argument` where the destination exists.
 */
export async function fillDirectory<T>(
  destination: string,
  fill: (temporary: string) => Promise<T>,
  { replaceEmpty = false }: { readonly replaceEmpty?: boolean } = {},
): Promise<T> {
  const target = resolve(destination);
  // An empty directory is replaced by the rename itself, and only while it is empty.
  if (!replaceEmpty) await refuseExisting(target);
  await makePrivateDirectory(dirname(target));
  await removeAbandoned(dirname(target));
  const temporary = join(dirname(target), `.${basename(target)}.${process.pid}.${randomBytes(6).toString('hex')}.partial`);
  await mkdir(temporary, { mode: 0o700 });
  try {
    const result = await fill(temporary);
    await syncDirectory(temporary);
    await rename(temporary, target);
    await syncDirectory(dirname(target));
    return result;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}
