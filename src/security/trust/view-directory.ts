import { createHash, randomBytes } from 'node:crypto';
import { lstat, readdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makePrivateDirectory, writeFileAtomic } from '../../core/index.ts';
import type { ModelFile } from '../signing/index.ts';

/** A file that engines see in another form than it is stored (docs/spec/security.md §4.3). */
export interface CleanedCopy {
  readonly path: string;
  readonly sha256: string;
  /** Absent: the copy of an earlier load has to be there. */
  readonly bytes?: Uint8Array;
}

export interface ViewOptions {
  /** `<home>/run/views`. */
  readonly root: string;
  /** What the view is of: its name tells nothing, so that no process description holds the name of a model. */
  readonly of: string;
  readonly files: readonly ModelFile[];
  readonly cleaned: readonly CleanedCopy[];
}

/**
 * A directory with one link for each verified file and a copy of each cleaned one: all of a model that anything reads after the verdict
 * (docs/spec/security.md §6). null: a copy of an earlier load is gone, or is not what was written.
 */
export async function makeViewDirectory({ root, of, files, cleaned }: ViewOptions): Promise<string | null> {
  const view = join(root, createHash('sha256').update(of).digest('hex').slice(0, 32));
  await makePrivateDirectory(view);
  const copies = new Map(cleaned.map((copy) => [copy.path, copy]));
  const links = new Map(files.filter(({ path }) => !copies.has(path)).map(({ path, source }) => [path, source]));
  for (const name of await readdir(view, { recursive: true })) {
    const facts = await lstat(join(view, name)).catch(() => null);
    const wanted = links.has(name) ? facts?.isSymbolicLink() : copies.has(name) ? facts?.isFile() : facts?.isDirectory() && hasBelow(links, name);
    if (facts !== null && wanted !== true && !name.startsWith('.')) await rm(join(view, name), { recursive: true, force: true });
  }
  for (const { path, sha256, bytes } of cleaned) {
    const at = join(view, path);
    if (await isCopy(at, sha256)) continue;
    if (bytes === undefined) return null;
    await makePrivateDirectory(dirname(at));
    await writeFileAtomic(at, bytes);
  }
  for (const [path, source] of links) await setLink(join(view, path), source);
  return view;
}

const hasBelow = (links: ReadonlyMap<string, string>, directory: string): boolean => [...links.keys()].some((path) => path.startsWith(`${directory}/`));

async function isCopy(path: string, sha256: string): Promise<boolean> {
  const bytes = await readFile(path).catch(() => null);
  return bytes !== null && createHash('sha256').update(bytes).digest('hex') === sha256;
}

/** Replaced in one step: a process that loads the same model meanwhile sees the old link or the new one. */
async function setLink(path: string, source: string): Promise<void> {
  if ((await readlink(path).catch(() => null)) === source) return;
  await makePrivateDirectory(dirname(path));
  const fresh = join(dirname(path), `.${randomBytes(8).toString('hex')}`);
  await symlink(source, fresh);
  await rename(fresh, path);
}
