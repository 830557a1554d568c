import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { HearthError, writeFileAtomic } from '../../core/index.ts';
import { isObject } from '../health/json-value.ts';

/**
 * Where a clone gathers its files: a directory beside the target that shows by a file in it that it may be deleted (docs/spec/store.md §9). It is
 * the quarantine of what is imported too: beside the target, so that what passes is adopted by a rename, and a copy may share its blocks.
 */

const PREFIX = '.hearth_temp_';
const OWN_MARK = '.hearth_temp_cache_sentinel';
const DONE_MARK = '.hearth_download_complete';

/** What a work area holds whole. */
export interface CompleteDownload {
  /** `org/name`. */
  readonly name: string;
  readonly commit: string;
}

/** The same command finds the same directory again. `target` is absolute. */
export const workAreaPath = (spec: string, target: string): string =>
  join(dirname(target), `${PREFIX}${createHash('sha256').update(`${spec}:${target}`).digest('hex').slice(0, 16)}`);

/** What lies there has not passed all gates, or is not complete. */
export const isInWorkArea = (absolute: string): boolean => absolute.split(sep).some((name) => name.startsWith(PREFIX));

/** Makes the directory, or takes an earlier one that has its mark. Errors: `unsafe_path`. */
export async function openWorkArea(path: string): Promise<{ readonly found: boolean }> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    await requireOwn(path);
    return { found: true };
  }
  await writeFileAtomic(join(path, OWN_MARK), 'Made by hearth clone. It is deleted when the clone is complete, and may be deleted when none runs.\n');
  return { found: false };
}

/** Deletes a work area; what has no mark, or is no plain directory, is left as it is. Errors: `unsafe_path`. */
export async function removeWorkArea(path: string): Promise<void> {
  if (!(await exists(path))) return;
  await requireOwn(path);
  for (const name of await readdir(path)) if (name !== OWN_MARK) await rm(join(path, name), { recursive: true, force: true });
  // The mark goes last: what is left after a crash can be deleted too.
  await rm(join(path, OWN_MARK));
  await rmdir(path);
}

/** Whether anything but the mark is in it. */
export async function holdsAnything(path: string): Promise<boolean> {
  const names = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  return names.some((entry) => entry.isFile() && entry.name !== OWN_MARK && !entry.name.endsWith('.lock'));
}

export const markComplete = (path: string, download: CompleteDownload): Promise<void> =>
  writeFileAtomic(join(path, DONE_MARK), `${JSON.stringify(download)}\n`);

/** null: the download is not complete. */
export async function readComplete(path: string): Promise<CompleteDownload | null> {
  try {
    const value: unknown = JSON.parse(await readFile(join(path, DONE_MARK), 'utf8'));
    if (!isObject(value) || typeof value['name'] !== 'string' || typeof value['commit'] !== 'string') return null;
    return { name: value['name'], commit: value['commit'] };
  } catch {
    return null;
  }
}

async function requireOwn(path: string): Promise<void> {
  const own =
    basename(path).startsWith(PREFIX) &&
    (await lstat(path)).isDirectory() &&
    (await lstat(join(path, OWN_MARK)).then(
      (mark) => mark.isFile(),
      () => false,
    ));
  if (!own)
    throw new HearthError('unsafe_path', `${path} is in the way: hearth did not make it, and leaves it alone. Move it away, then run the command again.`);
}

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );
