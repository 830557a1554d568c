import { randomBytes } from 'node:crypto';
import { mkdir, readlink, rename, rm, symlink } from 'node:fs/promises';
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
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const up = '../'.repeat(file.path.split('/').length + 1);
    await replaceLink(path, `${up}blobs/${file.digest}`);
  }
  return directory;
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
