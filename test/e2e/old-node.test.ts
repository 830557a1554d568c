import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const exec = promisify(execFile);

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const ended = (program: string, args: readonly string[]): Promise<Ended> =>
  exec(program, [...args]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: Ended) => error,
  );

describe('an older Node', () => {
  it.each(['hearth', 'hearth-run', 'hearthd'])('[house H8] %s prints the version that it needs and exits 1, without a stack trace', async (name) => {
    const directory = await mkdtemp(join(tmpdir(), 'hearth_test_'));
    try {
      // The same program under a Node that says it is older.
      const preload = join(directory, 'older.cjs');
      for (const version of ['10.24.1', '18.20.0', '24.14.9']) {
        await writeFile(preload, `Object.defineProperty(process, 'versions', { value: Object.assign({}, process.versions, { node: '${version}' }) });`);
        const { code, stdout, stderr } = await ended(process.execPath, ['--require', preload, join(root, 'bin', `${name}.js`), 'version']);
        expect([code, stdout]).toEqual([1, '']);
        expect(stderr).toContain(`hearth needs Node.js 24.15 or newer, and this is ${version}.`);
        expect(stderr).not.toMatch(/\n\s+at /);
      }
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it.each(['hearth', 'hearth-run', 'hearthd'])('[house H8] %s is written in the language of Node 10, and valid as a script and as a module', async (name) => {
    const text = (await readFile(join(root, 'bin', `${name}.js`), 'utf8')).replace(/\/\/.*$|'(?:[^'\\\n]|\\.)*'/gm, '');
    expect(text.startsWith('#!/usr/bin/env node\n')).toBe(true);
    expect(text).not.toMatch(/\?\?|\?\.|\b(export|await|require)\b|^import\s|import\.meta/m);
  });
});
