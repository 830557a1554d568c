import { randomBytes } from 'node:crypto';
import { readlink, rename, rm, rmdir, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makePrivateDirectory, writeFileAtomic } from '../core/index.ts';

/** Puts verified blobs under their names; readers see each link whole or not at all. */
export async function linkSnapshot(
  modelDirectory: string,
  commit: string,
  files: readonly { readonly path: string; readonly digest: string }[],
): Promise<string> {
  const directory = join(modelDirectory, 'snapshots', commit);
  await makePrivateDirectory(directory);
  for (const file of files) {
    const path = join(directory, file.path);
    await makePrivateDirectory(dirname(path));
    const up = '../'.repeat(file.path.split('/').length + 1);
    await replaceLink(path, `${up}blobs/${file.digest}`);
  }
  return directory;
}

/** Whether every file of the snapshot is there with its size: another program may have deleted the model in between. */
export async function isSnapshotWhole(
  modelDirectory: string,
  commit: string,
  files: readonly { readonly path: string; readonly sizeBytes: number }[],
): Promise<boolean> {
  for (const file of files) {
    const info = await stat(join(modelDirectory, 'snapshots', commit, file.path)).catch(() => null);
    if (info?.size !== file.sizeBytes) return false;
  }
  return true;
}

/** Takes back the links of a snapshot whose blobs are gone, and the directories that are empty then. */
export async function unlinkSnapshot(modelDirectory: string, commit: string, files: readonly { readonly path: string }[]): Promise<void> {
  const snapshot = join(modelDirectory, 'snapshots', commit);
  const directories = new Set<string>();
  for (const { path } of files) {
    const link = join(snapshot, path);
    if ((await stat(link).catch(() => null)) === null) await rm(link, { force: true });
    for (let above = dirname(link); above.startsWith(snapshot); above = dirname(above)) directories.add(above);
  }
  const deepestFirst = [...directories].sort((a, b) => b.length - a.length);
  for (const directory of [...deepestFirst, dirname(snapshot), join(modelDirectory, 'blobs'), modelDirectory]) await rmdir(directory).catch(() => {});
}

async function replaceLink(path: string, target: string): Promise<void> {
  try {
    if ((await readlink(path)) === target) return;
  } catch {
    // No link there yet.
  }
  const fresh = join(dirname(path), `.${randomBytes(8).toString('hex')}.link`);
  await symlink(target, fresh);
  try {
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

/** Written last: whoever follows the ref finds a whole snapshot. */
export async function writeRef(modelDirectory: string, ref: string, commit: string): Promise<void> {
  const path = join(modelDirectory, 'refs', ...ref.split('/'));
  await makePrivateDirectory(dirname(path));
  await writeFileAtomic(path, commit, 0o600);
}
