import { existsSync, mkdirSync, mkdtempSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makePrivateDirectory, makePrivateDirectorySync } from './private-directory.ts';

const root = mkdtempSync(join(tmpdir(), 'hearth_directory_'));
const modeOf = (path: string): number => statSync(path).mode & 0o777;

test('missing parents are made with mode 0700 under any umask, and what is there stays as it is', async () => {
  const before = process.umask(0);
  try {
    await makePrivateDirectory(join(root, 'a/b/c'));
    for (const path of ['a', 'a/b', 'a/b/c']) expect(modeOf(join(root, path))).toBe(0o700);
    mkdirSync(join(root, 'loose'));
    makePrivateDirectorySync(join(root, 'loose'));
    expect(modeOf(join(root, 'loose'))).toBe(0o777);
    makePrivateDirectorySync('/');
  } finally {
    process.umask(before);
  }
});

test('a file or a broken link in the way is an error, and is left alone', () => {
  writeFileSync(join(root, 'file'), 'x');
  symlinkSync(join(root, 'nowhere'), join(root, 'link'));
  for (const path of ['file', 'link']) expect(() => makePrivateDirectorySync(join(root, path))).toThrow(expect.objectContaining({ code: 'EEXIST' }));
  expect(() => makePrivateDirectorySync(join(root, 'file/below'))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
  expect(existsSync(join(root, 'nowhere'))).toBe(false);
});

test.skipIf(process.platform !== 'linux')('where nothing can be made, as below /proc, it fails and does not go round for ever (Linux)', () => {
  expect(() => makePrivateDirectorySync('/proc/hearth/home/run')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
});
