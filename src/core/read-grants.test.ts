import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readGrants } from './index.ts';

const root = mkdtempSync(join(tmpdir(), 'hearth_test_grants_'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const NAMES = ['a*b', 'axb', 'c,d', 'c', 'd', 'e'];
const program = join(root, 'read.cjs');
writeFileSync(
  program,
  `const fs = require('node:fs');
const read = (name) => { try { return fs.readFileSync(${JSON.stringify(root)} + '/' + name + '/file', 'utf8') === 'x'; } catch { return false; } };
process.stdout.write(JSON.stringify(${JSON.stringify(NAMES)}.filter(read)));`,
);
for (const name of NAMES) {
  mkdirSync(join(root, name));
  writeFileSync(join(root, name, 'file'), 'x');
}
const readBy = (flags: readonly string[]): unknown =>
  JSON.parse(execFileSync(process.execPath, ['--permission', ...readGrants([program]), ...flags, program], { encoding: 'utf8' }));

test('a grant opens the directory that it names alone, whatever the name holds', () => {
  expect(readBy([])).toEqual([]);
  expect(readBy(readGrants([join(root, 'e')]))).toEqual(['e']);
  expect(readBy(readGrants([join(root, 'c,d')]))).toEqual(['c,d']);
});

test('a path with an asterisk is refused: Node would open what matches it', () => {
  // Why: should this ever change, the refusal is not needed any more.
  expect(readBy([`--allow-fs-read=${join(root, 'a*b')}`])).toContain('axb');
  expect(() => readGrants([join(root, 'e'), join(root, 'a*b')])).toThrow(
    expect.objectContaining({ code: 'unsafe_path', details: { path: join(root, 'a*b') } }),
  );
});
