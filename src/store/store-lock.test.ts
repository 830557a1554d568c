import { spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeTempStore } from '../../test/support/temp-store.ts';
import { sleepFor } from './index.ts';
import { acquireStoreLock } from './store-lock.ts';

const context = (signal = new AbortController().signal) => ({ sleep: (ms: number, abort?: AbortSignal) => sleepFor(Math.min(ms, 5), abort), signal });

test('the lock names its holder, makes others wait, and is gone afterwards', async () => {
  await using temp = await makeTempStore();
  const path = join(temp.root, 'locks', 'x.pull');
  const first = await acquireStoreLock(path, context());
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ pid: process.pid });
  const order: string[] = [];
  const second = acquireStoreLock(path, context()).then((lock) => {
    order.push('second');
    return lock;
  });
  await sleepFor(40);
  order.push('released');
  await first[Symbol.asyncDispose]();
  await using lock = await second;
  expect([first.waited, lock.waited, order]).toEqual([false, true, ['released', 'second']]);
  await lock[Symbol.asyncDispose]();
  expect(await readdir(join(temp.root, 'locks'))).toEqual([]);
});

test('a lock of a process that is gone, of a reused process id, or that is unreadable is taken over', async () => {
  await using temp = await makeTempStore();
  const child = spawn(process.execPath, ['-e', '0']);
  await new Promise((done) => child.on('close', done));
  for (const content of [
    JSON.stringify({ pid: child.pid, startedAt: '1' }),
    JSON.stringify({ pid: process.pid, startedAt: 'another time' }),
    'half a li',
    JSON.stringify({ pid: 1, startedAt: null }),
  ]) {
    const path = join(temp.root, 'x.pull');
    await writeFile(path, content);
    await using lock = await acquireStoreLock(path, context());
    expect(lock.waited).toBe(true);
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ pid: process.pid });
  }
});

test('of many that find one stale lock, each gets it once and never two at a time', async () => {
  await using temp = await makeTempStore();
  const path = join(temp.root, 'locks', 'x.pull');
  await using _ = await acquireStoreLock(join(temp.root, 'locks', 'other'), context());
  await writeFile(path, 'stale');
  let inside = 0;
  let most = 0;
  let entered = 0;
  const one = async (): Promise<void> => {
    await using _lock = await acquireStoreLock(path, context());
    most = Math.max(most, ++inside);
    entered++;
    await sleepFor(2);
    inside--;
  };
  await Promise.all(Array.from({ length: 20 }, one));
  expect([entered, most]).toEqual([20, 1]);
});

test('waiting ends with the signal', async () => {
  await using temp = await makeTempStore();
  const path = join(temp.root, 'x.pull');
  await using _ = await acquireStoreLock(path, context());
  const stop = new AbortController();
  const waiting = acquireStoreLock(path, context(stop.signal));
  stop.abort();
  await expect(waiting).rejects.toThrow();
});
