import { constants } from 'node:fs';
import { lstat, open, readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { directoryEntries } from './cache-layout.ts';
import { isSharedBlob } from './shared-blobs.ts';

/** One regular file of a model, seen through at most one link. */
export interface ModelFile {
  /** Relative POSIX path. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  /** The real file, after links. */
  readonly realPath: string;
}

/** The files of one model directory. Links that leave `root`, broken links and special files are not listed: they count as missing. */
export interface ModelView {
  readonly directory: string;
  readonly files: readonly ModelFile[];
  /** Relative paths of what is there and is not listed. */
  readonly refused: readonly string[];
  find(path: string): ModelFile | undefined;
  /** UTF-8 text; null when the file is missing, unreadable or above 64 MiB. */
  text(path: string): Promise<string | null>;
  /** Parsed JSON: missing, invalid (also above 64 MiB) or the value. */
  json(path: string): Promise<JsonFile>;
  /** Whether the ASCII text occurs in a file of at most 64 MiB; nothing is decoded. */
  contains(path: string, text: string): Promise<boolean>;
  /** The first bytes of a file; empty when unreadable. */
  head(path: string, bytes: number): Promise<Uint8Array>;
}

export type JsonFile = { readonly kind: 'missing' } | { readonly kind: 'invalid' } | { readonly kind: 'value'; readonly value: unknown };

const MAX_JSON_BYTES = 64 * 1024 * 1024;
const SKIPPED = new Set(['.hf_cache', '.git']);

export interface ModelViewOptions {
  readonly directory: string;
  /** Links must end inside this directory: the model's directory in the cache, or the workspace itself. */
  readonly root: string;
  /** The cache that the model is in: its links may also end in the store of blobs that the models of the cache share. */
  readonly cacheDirectory?: string;
  /** Only these paths are looked at: one GGUF file that the user named. */
  readonly only?: readonly string[];
}

export async function openModelView(options: ModelViewOptions): Promise<ModelView> {
  const { files, refused } = await listFiles(options);
  const byPath = new Map(files.map((file) => [file.path, file]));
  const parsed = new Map<string, JsonFile>();
  const view: ModelView = {
    directory: options.directory,
    files,
    refused,
    find: (path) => byPath.get(path),
    text: async (path) => {
      const file = byPath.get(path);
      if (file === undefined || file.sizeBytes > MAX_JSON_BYTES) return null;
      const bytes = await readBytes(file.realPath, file.sizeBytes);
      return bytes === null ? null : new TextDecoder().decode(bytes);
    },
    json: async (path) => {
      const known = parsed.get(path);
      if (known !== undefined) return known;
      const result = byPath.has(path) ? parseJson(await view.text(path)) : ({ kind: 'missing' } as const);
      parsed.set(path, result);
      return result;
    },
    contains: async (path, text) => {
      const file = byPath.get(path);
      return file !== undefined && file.sizeBytes <= MAX_JSON_BYTES && (await scanFile(file.realPath, text));
    },
    head: async (path, bytes) => {
      const file = byPath.get(path);
      return (file === undefined ? null : await readBytes(file.realPath, Math.min(bytes, file.sizeBytes))) ?? new Uint8Array();
    },
  };
  return view;
}

function parseJson(text: string | null): JsonFile {
  if (text === null) return { kind: 'invalid' };
  try {
    return { kind: 'value', value: JSON.parse(text) as unknown };
  } catch {
    return { kind: 'invalid' };
  }
}

const SCAN_BYTES = 1024 * 1024;

/** One small buffer for the whole file: tokenizers of 20 MB are scanned on the list path. */
async function scanFile(path: string, text: string): Promise<boolean> {
  try {
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await handle.stat()).isFile()) return false;
    const buffer = Buffer.allocUnsafe(SCAN_BYTES);
    // The end of one piece is kept, so that a text across two pieces is found.
    for (let kept = 0, position = 0; ; ) {
      const { bytesRead } = await handle.read(buffer, kept, SCAN_BYTES - kept, position);
      if (bytesRead === 0) return false;
      const filled = buffer.subarray(0, kept + bytesRead);
      if (filled.includes(text)) return true;
      position += bytesRead;
      kept = Math.min(text.length - 1, filled.length);
      filled.copy(buffer, 0, filled.length - kept);
    }
  } catch {
    return false;
  }
}

async function readBytes(path: string, bytes: number): Promise<Uint8Array | null> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await handle.stat()).isFile()) return null;
      const buffer = new Uint8Array(bytes);
      let filled = 0;
      while (filled < bytes) {
        const { bytesRead } = await handle.read(buffer, filled, bytes - filled, filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    } finally {
      await handle.close();
    }
  } catch {
    return null;
  }
}

async function listFiles(options: ModelViewOptions): Promise<{ readonly files: ModelFile[]; readonly refused: string[] }> {
  let root: string;
  let cache: string | null;
  try {
    root = await realpath(options.root);
    cache = options.cacheDirectory === undefined ? null : await realpath(options.cacheDirectory);
  } catch {
    return { files: [], refused: [] };
  }
  const found: ModelFile[] = [];
  const refused: string[] = [];
  const add = async (path: string): Promise<void> => {
    const file = await insideFile(join(options.directory, path), root, cache);
    if (file === null) refused.push(path);
    else found.push({ path, ...file });
  };
  const walk = async (prefix: string): Promise<void> => {
    for (const entry of await directoryEntries(join(options.directory, prefix))) {
      const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!SKIPPED.has(entry.name)) await walk(path);
      } else await add(path);
    }
  };
  if (options.only === undefined) await walk('');
  else for (const path of options.only) await add(path);
  return { files: found.sort((a, b) => (a.path < b.path ? -1 : 1)), refused: refused.sort() };
}

/** null for a broken link, a link out of `root`, and what is no regular file. */
async function insideFile(path: string, root: string, cache: string | null): Promise<Omit<ModelFile, 'path'> | null> {
  try {
    const target = (await lstat(path)).isSymbolicLink() ? await realpath(path) : path;
    if (target !== path && !target.startsWith(root + sep) && !(cache !== null && isSharedBlob(cache, target))) return null;
    const info = await stat(target);
    return info.isFile() ? { sizeBytes: info.size, mtimeMs: info.mtimeMs, ctimeMs: info.ctimeMs, realPath: target } : null;
  } catch {
    return null;
  }
}

/** Whether anything is in the directory. */
export async function hasEntries(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).length > 0;
  } catch {
    return false;
  }
}
