import { existsSync, linkSync, mkdtempSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { createLogBook, createLogFile } from './index.ts';

const directory = (): string => mkdtempSync(join(tmpdir(), 'hearth_logs_'));
const MIB = 1024 * 1024;

test('[stack S86] the log rotates at its size, keeps N archives, and loses no line under load', async () => {
  const logs = directory();
  const path = join(logs, 'hearthd.log');
  const log = createLogFile({ path, maxSizeBytes: 200_000, maxFiles: 1000 });
  const lines = 60_000;
  for (let i = 0; i < lines; i += 1) {
    log.write(`line ${i} ${'x'.repeat(i % 50)}\n`);
    if (i % 2_000 === 0) await sleep(1);
  }
  await log.close();
  expect(log.failedLines).toBe(0);
  const names = readdirSync(logs);
  expect(names.length).toBeGreaterThan(8);
  expect(names.every((name) => /^hearthd\.log(\.\d+\.gz)?$/.test(name))).toBe(true);
  for (const name of names) expect(statSync(join(logs, name)).mode & 0o777).toBe(0o600);
  expect(statSync(path).size).toBeLessThanOrEqual(200_000);
  const seen: string[] = [];
  for await (const piece of createLogBook(logs).all('hearthd')) if ('line' in piece) seen.push(piece.line.split(' ')[1]!);
  expect(seen).toEqual(Array.from({ length: lines }, (_, i) => String(i)));

  const small = join(logs, 'small.log');
  const kept = createLogFile({ path: small, maxSizeBytes: 1_000, maxFiles: 3 });
  for (let i = 0; i < 400; i += 1) {
    kept.write(`line ${i}\n`);
    if (i % 50 === 0) await sleep(2);
  }
  await kept.close();
  const archives = readdirSync(logs).filter((name) => name.startsWith('small.log.'));
  expect(archives.sort()).toEqual(['small.log.1.gz', 'small.log.2.gz', 'small.log.3.gz']);
  expect(readFileSync(small, 'utf8').trimEnd().split('\n').at(-1)).toBe('line 399');
  const newest = gunzipSync(readFileSync(join(logs, 'small.log.1.gz')))
    .toString('utf8')
    .trimEnd()
    .split('\n')
    .at(-1)!;
  const first = readFileSync(small, 'utf8').split('\n')[0]!;
  expect(Number(first.split(' ')[1])).toBe(Number(newest.split(' ')[1]) + 1);
});

test('a log that is put aside again before its archives are packed keeps each line once, in order', async () => {
  const logs = directory();
  const log = createLogFile({ path: join(logs, 'a.log'), maxSizeBytes: MIB, maxFiles: 20 });
  const lines = Array.from({ length: 12 }, (_, i) => `line ${i}`);
  for (const [i, line] of lines.entries()) {
    log.write(`${line}\n`);
    log.rotate();
    if (i % 4 === 3) await sleep(1);
  }
  await log.close();
  const seen: string[] = [];
  for await (const piece of createLogBook(logs).all('a')) if ('line' in piece) seen.push(piece.line);
  expect(seen).toEqual(lines);

  // What goes away while it is packed must not come back in the place of a newer file.
  const few = createLogFile({ path: join(logs, 'b.log'), maxSizeBytes: MIB, maxFiles: 2 });
  for (const line of lines) {
    few.write(`${line}\n`);
    few.rotate();
  }
  await few.close();
  const kept: string[] = [];
  for await (const piece of createLogBook(logs).all('b')) if ('line' in piece) kept.push(piece.line);
  expect(kept).toEqual(lines.slice(-2));
});

test('lines are on the disk after the turn in which they were written, and a line that is too long gets a file of its own', async () => {
  const logs = directory();
  const path = join(logs, 'a.log');
  await using log = disposable(createLogFile({ path, maxSizeBytes: 100, maxFiles: 5 }));
  log.write('one\n');
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  expect(readFileSync(path, 'utf8')).toBe('one\n');
  log.write(`${'y'.repeat(500)}\n`);
  log.write('after\n');
  await expect.poll(() => readFileSync(path, 'utf8')).toBe('after\n');
});

test('a link, a second name or a directory in the place of a log is refused, and its target is unchanged', () => {
  const logs = directory();
  const target = join(logs, 'target.txt');
  writeFileSync(target, 'mine');
  symlinkSync(target, join(logs, 'linked.log'));
  linkSync(target, join(logs, 'hard.log'));
  for (const name of ['linked.log', 'hard.log'])
    expect(() => createLogFile({ path: join(logs, name), maxSizeBytes: MIB, maxFiles: 1 })).toThrow(expect.objectContaining({ code: 'unsafe_path' }));
  expect(() => createLogFile({ path: logs, maxSizeBytes: MIB, maxFiles: 1 })).toThrow(expect.objectContaining({ code: 'unsafe_path' }));
  expect(readFileSync(target, 'utf8')).toBe('mine');
});

test('the tail reads the last lines, however long the file and its lines are', () => {
  const logs = directory();
  writeFileSync(join(logs, 'a.log'), Array.from({ length: 5_000 }, (_, i) => `${i} ${'ü'.repeat(i % 100)}\n`).join(''));
  const book = createLogBook(logs);
  expect(book.tail('a', 3)).toEqual([4997, 4998, 4999].map((i) => `${i} ${'ü'.repeat(i % 100)}`));
  expect(book.tail('a', 0)).toEqual([]);
  expect(book.tail('a', 9_000)).toHaveLength(5_000);
  writeFileSync(join(logs, 'b.log'), 'no newline at the end');
  expect(book.tail('b', 5)).toEqual(['no newline at the end']);
  expect(book.list().map(({ service }) => service)).toEqual(['a', 'b']);
});

test('following goes on over rotation and truncation', async () => {
  const logs = directory();
  const path = join(logs, 'a.log');
  const log = createLogFile({ path, maxSizeBytes: MIB, maxFiles: 3 });
  log.write('before\n');
  await expect.poll(() => readFileSync(path, 'utf8')).toBe('before\n');
  const stop = new AbortController();
  const seen: string[] = [];
  // It has its place in the log as soon as it was asked for the first line.
  const following = (async () => {
    for await (const line of createLogBook(logs).follow('a', stop.signal)) seen.push(line);
  })();
  log.write('one\n');
  await expect.poll(() => seen).toEqual(['one']);
  log.write('two\n');
  log.rotate();
  log.write('three\n');
  await expect.poll(() => seen).toEqual(['one', 'two', 'three']);
  await log.close();
  truncateSync(path, 0);
  await sleep(300);
  writeFileSync(path, 'four\n');
  await expect.poll(() => seen).toEqual(['one', 'two', 'three', 'four']);
  stop.abort();
  await following;
});

test('[stack S87] the name of a service is looked up among the logs, and leads nowhere else', () => {
  const home = directory();
  const logs = join(home, 'logs');
  writeFileSync(join(home, 'secret.log'), 'secret');
  expect(createLogBook(logs).list()).toEqual([]);
  const book = createLogBook(home);
  for (const name of ['../secret', '../../etc/passwd', '/etc/passwd', 'logs/../secret', 'secret.log', '', '.', '..', 'secret\0', '%2e%2e/secret'])
    expect(() => book.tail(name, 5)).toThrow(expect.objectContaining({ code: 'service_not_found' }));
  expect(book.tail('secret', 5)).toEqual(['secret']);
  symlinkSync('/etc/hostname', join(home, 'linked.log'));
  expect(() => book.tail('linked', 5)).toThrow(expect.objectContaining({ code: 'unsafe_path' }));
  expect(existsSync(join(home, 'linked.log'))).toBe(true);
});

const disposable = <T extends { close(): Promise<void> }>(log: T) => Object.assign(log, { [Symbol.asyncDispose]: () => log.close() });
