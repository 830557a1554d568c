import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hasEnded, isRunning } from '../../test/support/process-state.ts';
import { createLaunchJournal, createSupervisor, type ProcessSpec, processTable, sweepLeftovers } from './index.ts';

const directory = (): string => mkdtempSync(join(tmpdir(), 'hearth_journal_'));
const ID = 'a'.repeat(32);
const sleeper = (launchId = ID) =>
  spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', '--', `--hearth-launch=${launchId}`], { stdio: 'ignore', detached: true });

const spec: ProcessSpec = {
  command: process.execPath,
  args: ['-e', 'setInterval(() => {}, 1000)', '--'],
  cwd: tmpdir(),
  env: {},
  channel: 'ipc',
  readPaths: [],
  writePaths: [],
  devices: 'none',
  memoryBytes: 1e9,
  threads: 1,
  startTimeoutMs: 10_000,
  stopGraceMs: 300,
};

test('a child is in the journal while it runs, with its start time, boot and launch id', async () => {
  const path = join(directory(), 'children.json');
  await using supervisor = createSupervisor({ journal: createLaunchJournal({ path }) });
  const child = await supervisor.start(spec);
  const { children } = JSON.parse(readFileSync(path, 'utf8'));
  expect(children).toEqual([
    {
      pid: child.pid,
      startTime: processTable.identify(child.pid)!.startTime,
      bootId: processTable.bootId(),
      launchId: expect.stringMatching(/^[0-9a-f]{32}$/),
    },
  ]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await child.stop();
  await expect.poll(() => JSON.parse(readFileSync(path, 'utf8')).children).toEqual([]);
});

test('a leftover whose number, start time, boot and launch id all match is ended with its group', async () => {
  const path = join(directory(), 'children.json');
  const child = sleeper();
  await once(child, 'spawn');
  const { startTime } = processTable.identify(child.pid!)!;
  await expect.poll(() => processTable.identify(child.pid!)?.commandLine).toContain(ID);
  writeFileSync(path, JSON.stringify({ version: 1, children: [{ pid: child.pid, startTime, bootId: processTable.bootId(), launchId: ID }] }));
  const ended = once(child, 'exit');
  expect(await sweepLeftovers({ path })).toEqual({ ended: [child.pid], quarantined: [], corrupt: null });
  await ended;
  expect(await hasEnded(child.pid!)).toBe(true);
  expect(JSON.parse(readFileSync(path, 'utf8')).children).toEqual([]);
  expect(await sweepLeftovers({ path })).toEqual({ ended: [], quarantined: [], corrupt: null });
});

test('[security G52] a record naming another live process, 0, 1, −1, a huge number, our own, or a number that was given away, leads to no signal', async () => {
  const path = join(directory(), 'children.json');
  await using stranger = running(spawn('sleep', ['60'], { stdio: 'ignore', detached: true }));
  await using ours = running(sleeper());
  await expect.poll(() => processTable.identify(ours.pid)?.commandLine).toContain(ID);
  const bootId = processTable.bootId();
  const real = { startTime: processTable.identify(ours.pid)!.startTime, bootId, launchId: ID };
  const planted = [
    { ...real, pid: stranger.pid }, // another live process: neither its start time nor its arguments
    { ...real, pid: stranger.pid, startTime: processTable.identify(stranger.pid)!.startTime }, // its start time was copied
    ...[0, 1, -1, -ours.pid, 2 ** 22 + 1, 2 ** 53, 1.5, Number.NaN, String(ours.pid), null, [ours.pid]].map((pid) => ({ ...real, pid })),
    { ...real, pid: process.pid, startTime: processTable.identify(process.pid)!.startTime },
    { ...real, pid: process.ppid },
    { ...real, pid: ours.pid, startTime: '1' }, // the number was given to another process
    { ...real, pid: ours.pid, launchId: 'b'.repeat(32) },
    { ...real, pid: ours.pid, launchId: '' },
    { ...real, pid: ours.pid, launchId: 'a.*' },
    { pid: ours.pid },
    'not a record',
    null,
  ];
  writeFileSync(path, JSON.stringify({ version: 1, children: planted }));
  const signalled: number[] = [];
  const report = await sweepLeftovers({ path, endGroup: (pid) => signalled.push(pid) });
  expect(signalled).toEqual([]);
  expect(report.ended).toEqual([]);
  expect(report.quarantined).toHaveLength(planted.length);
  expect([isRunning(stranger.pid), isRunning(ours.pid)]).toEqual([true, true]);
  // They are kept beside the journal, and the journal is empty.
  expect(JSON.parse(readFileSync(join(path, '..', 'children.quarantine.json'), 'utf8')).records).toHaveLength(planted.length);
  expect(JSON.parse(readFileSync(path, 'utf8')).children).toEqual([]);
});

test('after a restart of the machine no record leads to a signal', async () => {
  const path = join(directory(), 'children.json');
  await using child = running(sleeper());
  await expect.poll(() => processTable.identify(child.pid)?.commandLine).toContain(ID);
  const { startTime } = processTable.identify(child.pid)!;
  writeFileSync(path, JSON.stringify({ version: 1, children: [{ pid: child.pid, startTime, bootId: 'another boot', launchId: ID }] }));
  expect(await sweepLeftovers({ path })).toEqual({ ended: [], quarantined: [], corrupt: null });
  expect(isRunning(child.pid)).toBe(true);
});

test('a corrupt journal is put aside and nothing is ended', async () => {
  for (const text of ['{broken', '[]', '{"children": 5}', '']) {
    const home = directory();
    const path = join(home, 'children.json');
    writeFileSync(path, text);
    const { corrupt, ended } = await sweepLeftovers({ path });
    expect(ended).toEqual([]);
    expect(corrupt).toMatch(/children\.json\.corrupt-\d{8}T\d{6}Z$/);
    expect(readFileSync(corrupt!, 'utf8')).toBe(text);
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(home)).toHaveLength(1);
  }
});

function running(child: ReturnType<typeof spawn>) {
  return {
    pid: child.pid!,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      if (child.kill('SIGKILL')) await ended;
    },
  };
}
