import { createHash } from 'node:crypto';
import { lstat, open, readdir, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { hashFile } from '../hash-file.ts';
import { compileExcludes, type Excludes } from './exclude-patterns.ts';

/** One entry of a workspace's content hash, version 2 (docs/spec/store.md §8). */
export interface FileEntry {
  /** Relative POSIX path, NFC. */
  readonly path: string;
  readonly size: number;
  readonly mtimeNs: bigint;
}

export interface WalkedFile extends FileEntry {
  /** As the disk spells it. */
  readonly absolute: string;
  /** The path that a link resolves to, relative to the root; null for a file. */
  readonly linkTarget: string | null;
}

const MAX_HEADER_BYTES = 100 * 1024 * 1024;
const NAMED_ABOVE_BYTES = 1024 ** 3;

/** Every file and link below the root that no pattern excludes; links are never followed. null: a link leaves the workspace. */
export async function walkWorkspace(root: string, patterns: readonly string[]): Promise<WalkedFile[] | null> {
  const realRoot = await realpath(root);
  const found: WalkedFile[] = [];
  const complete = await walkDirectory({ realRoot, excludes: compileExcludes(patterns), found }, '');
  return complete ? found : null;
}

interface Walk {
  readonly realRoot: string;
  readonly excludes: Excludes;
  readonly found: WalkedFile[];
}

async function walkDirectory(walk: Walk, prefix: string): Promise<boolean> {
  // A directory that cannot be read is passed over, as the reference does.
  for (const entry of await readdir(join(walk.realRoot, prefix), { withFileTypes: true }).catch(() => [])) {
    const diskPath = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
    const absolute = join(walk.realRoot, diskPath);
    const path = diskPath.normalize('NFC');
    if (entry.isSymbolicLink()) {
      const target = await resolveLink(absolute);
      if (target === null) return false;
      if (target !== walk.realRoot && !target.startsWith(walk.realRoot + sep)) return false;
      const linkTarget = relative(walk.realRoot, target).split(sep).join('/') || '.';
      walk.found.push({ path, size: 0, mtimeNs: 0n, absolute, linkTarget });
    } else if (entry.isDirectory()) {
      if (!walk.excludes.directory(entry.name.normalize('NFC')) && !(await walkDirectory(walk, diskPath))) return false;
    } else if (entry.isFile() && !walk.excludes.file(entry.name.normalize('NFC'))) {
      const info = await lstat(absolute, { bigint: true });
      walk.found.push({ path, size: Number(info.size), mtimeNs: info.mtimeNs, absolute, linkTarget: null });
    }
  }
  return true;
}

const MAX_LINKS = 40;

/** Where a link leads; for a broken one, where it would lead, links on the way followed. null: it goes in circles. */
async function resolveLink(path: string): Promise<string | null> {
  let rest = path.split(sep).filter((part) => part !== '');
  let at: string = sep;
  for (let links = 0; ; ) {
    const part = rest.shift();
    if (part === undefined) return at;
    if (part === '.') continue;
    if (part === '..') {
      at = dirname(at);
      continue;
    }
    const next = join(at, part);
    const target = await readlink(next).catch(() => null);
    if (target === null) {
      at = next;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) return null;
    if (target.startsWith(sep)) at = sep;
    rest = [...target.split(sep).filter((step) => step !== ''), ...rest];
  }
}

/** `sha256:<hex>` of one entry; null for a safetensors file whose header is not there. */
export async function entryHash(file: WalkedFile): Promise<string | null> {
  const hash = createHash('sha256');
  if (file.linkTarget !== null) hash.update('SYMLINK\0').update(file.linkTarget);
  else if (file.path.endsWith('.safetensors')) {
    const header = await safetensorsHeader(file);
    if (header === null) return null;
    hash.update(header);
  } else if (file.size > NAMED_ABOVE_BYTES) hash.update(`${basename(file.absolute)}\0${file.size}`);
  else await hashFile(hash, file.absolute);
  return `sha256:${hash.digest('hex')}`;
}

/** The JSON bytes alone: tensor bytes are out of scope by design. */
async function safetensorsHeader(file: WalkedFile): Promise<Buffer | null> {
  await using handle = await open(file.absolute, 'r');
  const prefix = Buffer.alloc(8);
  if ((await handle.read(prefix, 0, 8, 0)).bytesRead < 8) return null;
  const length = prefix.readBigUInt64LE();
  if (length === 0n || length > BigInt(MAX_HEADER_BYTES)) return null;
  const header = Buffer.alloc(Number(length));
  return (await handle.read(header, 0, header.length, 8)).bytesRead === header.length ? header : null;
}

/** Paths in code-point order, which is not the order of UTF-16 strings. */
const compareCodePoints = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

export function aggregateHash(entries: readonly { readonly path: string; readonly sha: string }[]): string {
  const hash = createHash('sha256');
  for (const entry of entries.toSorted((a, b) => compareCodePoints(a.path, b.path))) hash.update(entry.path).update('\0').update(entry.sha);
  return `sha256:${hash.digest('hex')}`;
}

export interface ContentHash {
  readonly contentHash: string;
  readonly index: readonly (FileEntry & { readonly sha: string })[];
}

/** null: a link leaves the workspace, a safetensors file is damaged, or a file cannot be read. */
export async function computeContentHash(root: string, patterns: readonly string[]): Promise<ContentHash | null> {
  const files = await walkWorkspace(root, patterns);
  if (files === null) return null;
  const index: (FileEntry & { sha: string })[] = [];
  for (const file of files) {
    const sha = await entryHash(file).catch(() => null);
    if (sha === null) return null;
    index.push({ path: file.path, size: file.size, mtimeNs: file.mtimeNs, sha });
  }
  index.sort((a, b) => compareCodePoints(a.path, b.path));
  return { contentHash: aggregateHash(index), index };
}
