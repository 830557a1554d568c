import { createHash } from 'node:crypto';
import { lstat, readdir, realpath } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { identityOf } from '../signing/file-identity.ts';
import type { FileIdentity, ModelFile, SignatureProblem } from '../signing/index.ts';
import type { Place } from './place.ts';

/** What an engine may be given of a model: weights and data, never code (docs/spec/security.md §4.2). */
const READABLE = /\.(safetensors|gguf|json|jinja|txt|model|tiktoken)$/i;
/** The one file below the root that engines read. */
const POOLING = '1_Pooling/config.json';

export interface ModelListing {
  readonly files: readonly ModelFile[];
  readonly problems: readonly SignatureProblem[];
}

/** The files of a model that an engine could read, by lstat alone: at its root, or those that are wanted. */
export async function listModelFiles(place: Place, only?: readonly string[]): Promise<ModelListing> {
  const roots = [place.directory, ...place.blobs];
  const files: ModelFile[] = [];
  const problems: SignatureProblem[] = [];
  const paths = only ?? (await readablePaths(place.directory));
  // At once: they wait for the system, not for each other.
  const inspected = await Promise.all(paths.map((path) => inspectFile(place.directory, path, roots)));
  for (const [index, found] of inspected.entries()) {
    const path = paths[index]!;
    if (found === null) problems.push({ code: 'file_missing', message: `${path} is not there`, file: path });
    else if ('code' in found) problems.push(found);
    else files.push(found);
  }
  return { files, problems };
}

async function readablePaths(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries.filter((entry) => !entry.isDirectory() && isReadable(entry.name)).map(({ name }) => name);
  const pooling = entries.some(({ name }) => name === dirname(POOLING)) && (await lstat(join(directory, POOLING)).catch(() => null)) !== null;
  return [...names, ...(pooling ? [POOLING] : [])].sort();
}

/** One file under its name in the model; null when nothing is there. */
export async function inspectFile(directory: string, path: string, roots: readonly string[]): Promise<ModelFile | SignatureProblem | null> {
  const at = join(directory, path);
  // Its directory may be a link too.
  const source = await realpath(at).catch(() => null);
  if (source === null) return null;
  if (!roots.some((root) => source.startsWith(root + sep)))
    return { code: 'file_symlink', message: `${path} is a link that leads out of the model`, file: path };
  const target = await lstat(source, { bigint: true }).catch(() => null);
  if (target === null) return null;
  if (!target.isFile()) return { code: 'file_special', message: `${path} is no regular file`, file: path };
  if (target.nlink !== 1n) return { code: 'file_hardlink', message: `${path} has a second name (hard link)`, file: path };
  return { path, source, identity: identityOf(target) };
}

/** Of a regular file that is no link; null for anything else. */
export async function identityAt(path: string): Promise<FileIdentity | null> {
  const facts = await lstat(path, { bigint: true }).catch(() => null);
  return facts?.isFile() ? identityOf(facts) : null;
}

export const tupleOf = ({ dev, ino, size, mtimeNs, ctimeNs }: FileIdentity): string => [dev, ino, size, mtimeNs, ctimeNs].join(':');

/** Names files and problems as they are: equal only while no tuple differs and nothing came or went. */
export function fingerprintOf({ files, problems }: ModelListing): string {
  const hash = createHash('sha256');
  for (const { path, source, identity: id } of files) hash.update(`${path}\0${source}\0${tupleOf(id)}\n`);
  for (const { code, file } of problems) hash.update(`!${code}\0${file ?? ''}\n`);
  return hash.digest('hex');
}

/** Whether somebody else than this user could write one of the files or their directories: then no tuple is proof enough. */
export async function othersMayWrite(place: Place, files: readonly ModelFile[]): Promise<boolean> {
  const [uid, gid] = [process.geteuid?.(), process.getegid?.()];
  if (uid === undefined) return false;
  const paths = [...new Set([place.directory, ...files.flatMap(({ source }) => [dirname(source), source])])];
  for (const facts of await Promise.all(paths.map((path) => lstat(path).catch(() => null)))) {
    if (facts === null || (facts.uid !== uid && facts.uid !== 0)) return true;
    // A group of its own is the user alone.
    if ((facts.mode & 0o002) !== 0 || ((facts.mode & 0o020) !== 0 && facts.gid !== gid)) return true;
  }
  return false;
}

/** Clocks of file systems stand still for some milliseconds: a file that was just written could be written again without a trace. */
const TICK_MS = 25;

/** Waits until every change from now on gives these files another time. */
export async function settle(files: readonly ModelFile[], signal?: AbortSignal): Promise<void> {
  const youngest = files.reduce((latest, { identity }) => Math.max(latest, Number(BigInt(identity.ctimeNs) / 1_000_000n)), 0);
  const waitMs = youngest + TICK_MS - Date.now();
  // A time that is far ahead is a wrong clock, and no reason to wait.
  if (waitMs > 0 && waitMs <= TICK_MS) await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
}

/**
 * Weights and what belongs to them, as engines' views have them: at the root, and the pooling of sentence embedders. Hidden files are no part of a model: one is
 * the mark of a managed folder, which hearth rewrites.
 */
export const isReadable = (path: string): boolean => (!path.includes('/') && !path.startsWith('.') && READABLE.test(path)) || path === POOLING;
