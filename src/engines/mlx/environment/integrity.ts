import { createHash, hash as oneHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** Every file of an environment: the SHA-256 of its bytes in hex, or `-> ` and where a link leads. */
export type Manifest = Readonly<Record<string, string>>;

/** Written by hearth itself, last of all. */
export const OWN_FILES: ReadonlySet<string> = new Set(['manifest.json', 'complete.json']);
const AT_ONCE = 16;
const SMALL_BYTES = 1024 * 1024;

/** Reads every file below the directory. */
export async function hashFiles(directory: string, signal: AbortSignal): Promise<Manifest> {
  const entries = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => !entry.isDirectory());
  const paths = entries.map((entry) => ({ path: relative(directory, join(entry.parentPath, entry.name)), link: entry.isSymbolicLink() }));
  const found: Record<string, string> = {};
  const left = paths.filter(({ path }) => !OWN_FILES.has(path)).sort((a, b) => (a.path < b.path ? -1 : 1));
  const work = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      signal.throwIfAborted();
      const place = join(directory, next.path);
      found[next.path] = next.link ? `-> ${await readlink(place)}` : await digestOf(place);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return found;
}

async function digestOf(path: string): Promise<string> {
  // Most files are small, and there are thousands.
  if ((await stat(path)).size <= SMALL_BYTES) return oneHash('sha256', await readFile(path), 'hex');
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return hash.digest('hex');
}

/** What is wrong with an environment, in words; empty: nothing (docs/spec/security.md §15). `manifest`: what was there after the installation. */
export async function findTampering(directory: string, found: Manifest, manifest: Manifest | null): Promise<readonly string[]> {
  const problems: string[] = [];
  if (manifest !== null) {
    for (const [path, digest] of Object.entries(manifest))
      if (found[path] === undefined) problems.push(`${path} is missing`);
      else if (found[path] !== digest) problems.push(`${path} was changed`);
    for (const path of Object.keys(found)) if (manifest[path] === undefined) problems.push(`${path} was added`);
  }
  for (const path of Object.keys(found)) {
    const name = basename(path);
    if (/^(site|user)customize(\.|$)/.test(name) && !problems.includes(`${path} was added`)) problems.push(`${path} would run in every start`);
    if (name.endsWith('.pth') && (await runsCode(join(directory, path)))) problems.push(`${path} would run code in every start`);
    if (/\.dist-info\/RECORD$/.test(path)) problems.push(...(await recordProblems(directory, path, found)));
  }
  return [...new Set(problems)];
}

const runsCode = async (path: string): Promise<boolean> => /^import[ \t]/m.test(await readFile(path, 'utf8'));

/** Each package's own list of its files. */
async function recordProblems(directory: string, record: string, found: Manifest): Promise<string[]> {
  const site = join(record, '..', '..');
  const problems: string[] = [];
  for (const line of (await readFile(join(directory, record), 'utf8')).split(/\r?\n/)) {
    const match = /^("(?:[^"]|"")*"|[^,]*),(?:sha256=([A-Za-z0-9_-]+))?,\d*$/.exec(line);
    if (match === null || match[2] === undefined) continue;
    const name = match[1]!.startsWith('"') ? match[1]!.slice(1, -1).replaceAll('""', '"') : match[1]!;
    const path = relative(directory, join(directory, site, name));
    const wanted = Buffer.from(match[2], 'base64url').toString('hex');
    if (found[path] !== wanted) problems.push(`${path} is not what ${basename(join(record, '..'))} lists`);
  }
  return problems;
}
