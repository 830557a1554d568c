import { constants } from 'node:fs';
import { access, lstat, readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { HearthError } from '../../core/index.ts';
import type { StoreOptions } from '../options.ts';

type Places = Pick<StoreOptions, 'cacheDirectory' | 'workspaceHome' | 'userHome' | 'workingDirectory'>;

const invalidTarget = (message: string): HearthError => new HearthError('invalid_target', message);

/** A name without a separator lies in the workspace home, if there is one; anything else is a path as it is written. */
export function workspacePath(places: Places, text: string): string {
  const home = places.workspaceHome !== null && !/[/\\]/.test(text) && !/^(\.{1,2}|~)$/.test(text) ? places.workspaceHome : null;
  const expanded = /^~(\/|$)/.test(text) && places.userHome !== null ? join(places.userHome, text.slice(1)) : text;
  return resolve(home ?? places.workingDirectory, expanded);
}

/** Whether a path, links resolved, lies in a model cache: the configured one, the usual one, or anything of that shape. */
export async function isInCache(places: Places, path: string): Promise<boolean> {
  const real = await realTarget(path);
  const usual = places.userHome === null ? [] : [join(places.userHome, '.cache', 'huggingface', 'hub')];
  for (const root of [places.cacheDirectory, ...usual]) {
    const realRoot = await realTarget(root);
    if (real === realRoot || real.startsWith(realRoot + sep)) return true;
  }
  return /\/models--[^/]+--[^/]+(\/(snapshots|blobs|refs)(\/|$)|$)/.test(real.split(sep).join('/'));
}

/** The real path of what may not be there yet: its nearest existing parent is resolved. */
async function realTarget(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return path === dirname(path) ? path : join(await realTarget(dirname(path)), basename(path));
  }
}

/** Errors: invalid_target, unless the target is absent (or, where that is allowed, an empty directory) and its parent can be written. */
export async function requireFreeTarget(target: string, { emptyAllowed }: { readonly emptyAllowed: boolean }): Promise<void> {
  const found = await lstat(target).catch(() => null);
  if (found !== null) {
    if (!emptyAllowed) throw invalidTarget(`${target} is there already; choose another target, or remove it.`);
    if (!found.isDirectory()) throw invalidTarget(`${target} is there already, and is no directory.`);
    if ((await readdir(target)).length > 0) throw invalidTarget(`${target} is there already and not empty; choose another target, or remove it.`);
  }
  const parent = dirname(target);
  const isDirectory = await lstat(parent).then(
    async (info) => info.isDirectory() || (info.isSymbolicLink() && (await lstat(await realpath(parent))).isDirectory()),
    () => false,
  );
  if (!isDirectory) throw invalidTarget(`${parent}, in which ${basename(target)} would be made, is no directory.`);
  await access(parent, constants.W_OK).catch(() => {
    throw invalidTarget(`${parent}, in which ${basename(target)} would be made, cannot be written.`);
  });
}
