import { isUtf8 } from 'node:buffer';
import { type BigIntStats, constants } from 'node:fs';
import { access, lstat, readdir, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { HearthError, systemError } from '../../core/index.ts';
import { identityOf } from './file-identity.ts';
import { comparePaths } from './path-order.ts';
import type { ModelFile, SignatureProblem } from './types.ts';

export interface WalkModelOptions {
  /** A directory, or the one file that the model is: its path is then `.`. */
  readonly directory: string;
  /** Blob directories of the model's own cache: a link of the snapshot may end in one of them, and nowhere else. */
  readonly blobs?: readonly string[];
  readonly signal?: AbortSignal;
}

export interface ModelWalk {
  /** Regular files in the order of their path's components. */
  readonly files: readonly ModelFile[];
  /** Links, special files, hard links, names that are no text, and what could not be read. */
  readonly problems: readonly SignatureProblem[];
  /** Directories without an entry, below ignored paths too. */
  readonly emptyDirectories: readonly string[];
}

const MAX_ENTRIES = 1_000_000;
const MAX_DEPTH = 64;

/** Every regular file below the directory, by lstat; nothing is opened. Throws only where there is no such directory, or for an abort. */
export async function walkModel(options: WalkModelOptions): Promise<ModelWalk> {
  const root = await realpath(options.directory).catch((error: unknown) => {
    throw systemError(error) ?? error;
  });
  const walk: Walk = {
    root,
    blobs: await realDirectories(options.blobs ?? []),
    signal: options.signal,
    files: [],
    problems: [],
    emptyDirectories: [],
    entries: 0,
  };
  const facts = await lstat(root, { bigint: true });
  if (facts.isFile()) takeFile(walk, '.', root, facts);
  else await walkDirectory(walk, '', 0);
  walk.files.sort((a, b) => comparePaths(a.path, b.path));
  walk.emptyDirectories.sort(comparePaths);
  return walk;
}

interface Walk {
  readonly root: string;
  readonly blobs: readonly string[];
  readonly signal: AbortSignal | undefined;
  readonly files: ModelFile[];
  readonly problems: SignatureProblem[];
  readonly emptyDirectories: string[];
  entries: number;
}

async function walkDirectory(walk: Walk, prefix: string, depth: number): Promise<void> {
  walk.signal?.throwIfAborted();
  const shown = prefix === '' ? '.' : prefix;
  if (depth > MAX_DEPTH)
    return void walk.problems.push({ code: 'file_depth', message: `${shown} is nested deeper than ${MAX_DEPTH} directories.`, file: shown });
  let names: Buffer[];
  try {
    names = await readdir(join(walk.root, prefix), { encoding: 'buffer' });
  } catch (error) {
    return void walk.problems.push(unreadable(shown, error));
  }
  if (names.length === 0 && prefix !== '') walk.emptyDirectories.push(prefix);
  walk.entries += names.length;
  if (walk.entries > MAX_ENTRIES)
    throw new HearthError('model_refused', `${walk.root} holds more than ${MAX_ENTRIES} entries.`, { details: { reason: 'limits' } });
  for (const name of names) await takeEntry(walk, prefix, name, depth);
}

async function takeEntry(walk: Walk, prefix: string, name: Buffer, depth: number): Promise<void> {
  const path = prefix === '' ? name.toString('utf8') : `${prefix}/${name.toString('utf8')}`;
  if (!isUtf8(name)) return void walk.problems.push({ code: 'file_name', message: `The name ${path} is not UTF-8.`, file: path });
  const absolute = join(walk.root, path);
  let facts: BigIntStats;
  try {
    facts = await lstat(absolute, { bigint: true });
  } catch (error) {
    return void walk.problems.push(unreadable(path, error));
  }
  if (facts.isDirectory()) await walkDirectory(walk, path, depth + 1);
  else if (facts.isSymbolicLink()) await takeLink(walk, path, absolute);
  else takeFile(walk, path, absolute, facts);
}

/** A snapshot's own link into the blobs of its cache is the file; any other link is refused. */
async function takeLink(walk: Walk, path: string, absolute: string): Promise<void> {
  try {
    const target = walk.blobs.length === 0 ? null : await realpath(absolute);
    if (target !== null && walk.blobs.some((blobs) => target.startsWith(blobs + sep))) {
      const facts = await lstat(target, { bigint: true });
      if (!facts.isDirectory()) return takeFile(walk, path, target, facts);
    }
  } catch {
    // A link that leads nowhere is refused as any other.
  }
  walk.problems.push({ code: 'file_symlink', message: `${path} is a link; its target is not part of the model.`, file: path });
}

function takeFile(walk: Walk, path: string, source: string, facts: BigIntStats): void {
  if (!facts.isFile()) walk.problems.push({ code: 'file_special', message: `${path} is no regular file but a pipe, socket or device.`, file: path });
  else {
    if (facts.nlink > 1n)
      walk.problems.push({ code: 'file_hardlink', message: `${path} has ${facts.nlink} names (hard links): it can be changed under another one.`, file: path });
    walk.files.push({ path, source, identity: identityOf(facts) });
  }
}

const unreadable = (file: string, error: unknown): SignatureProblem => ({
  code: 'file_unreadable',
  message: systemError(error)?.message ?? `${file} could not be read.`,
  file,
});

async function realDirectories(paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    try {
      await access(path, constants.R_OK);
      found.push(await realpath(path));
    } catch {
      // A cache without blobs has no links to follow.
    }
  }
  return found;
}
