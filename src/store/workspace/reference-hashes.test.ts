import { mkdir, open, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { makeTempStore } from '../../../test/support/temp-store.ts';
import { computeContentHash } from './content-hash.ts';
import { DEFAULT_EXCLUDES } from './exclude-patterns.ts';

type Entry = readonly [kind: 'file' | 'link' | 'sparse', path: string, value: string | number];
/** What MLX Knife gives for generated trees; test/reference/make-content-hashes.py. */
const CASES = JSON.parse(await readFile(join(import.meta.dirname, '../../../test/reference/content-hashes.json'), 'utf8')) as {
  readonly entries: readonly Entry[];
  readonly hash: string | null;
}[];

async function build(root: string, entries: readonly Entry[]): Promise<void> {
  await mkdir(root);
  for (const [kind, path, value] of entries) {
    const at = join(root, path);
    await mkdir(dirname(at), { recursive: true });
    if (kind === 'link') await symlink(String(value), at);
    else if (kind === 'file') await writeFile(at, Buffer.from(String(value), 'hex'));
    else {
      await using file = await open(at, 'w');
      await file.truncate(Number(value));
    }
  }
}

// A disk that folds Unicode forms or case holds other trees.
test.skipIf(process.platform !== 'linux')(
  '[store K66] the hash equals the reference on generated trees: odd names, links, empty, sparse and broken files',
  async () => {
    await using temp = await makeTempStore();
    const root = join(temp.root, 'ws');
    const found: (string | null)[] = [];
    for (const { entries } of CASES) {
      await build(root, entries);
      found.push((await computeContentHash(root, DEFAULT_EXCLUDES))?.contentHash ?? null);
      await rm(root, { recursive: true });
    }
    expect(CASES.length).toBeGreaterThan(100);
    const different = CASES.flatMap(({ entries, hash }, i) => (hash === found[i] ? [] : [{ entries, hash, found: found[i] }]));
    expect(different).toEqual([]);
  },
);
