import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { SecurityEvent } from '../core/index.ts';
import { chooseCage, findProgram } from './cage/choose-cage.ts';
import { sandboxProfile } from './cage/sandbox-exec.ts';
import { seccompFilter } from './cage/seccomp.ts';
import { createEnclosure, createSupervisor, type EnclosureOptions, type ProcessSpec } from './index.ts';

const here = mkdtempSync(join(tmpdir(), 'hearth_cage_'));
const cage = await chooseCage({ mode: 'auto' });
const unshareWorks = (await chooseCage({ mode: 'auto', find: (name) => (name === 'bwrap' ? null : findProgram(name)) })).kind === 'namespaces';
const bubblewrap = cage.kind === 'bubblewrap';
const why = bubblewrap ? '' : ` (skipped: bubblewrap is not here, ${cage.reason})`;

/** A home with a secret, and a model whose view is links to files elsewhere in it. */
const home = join(here, 'user');
const view = join(home, '.hearth', 'view');
mkdirSync(join(home, '.ssh'), { recursive: true });
mkdirSync(join(home, 'blobs'));
mkdirSync(view, { recursive: true });
writeFileSync(join(home, '.ssh', 'id_ed25519'), 'private');
writeFileSync(join(home, 'blobs', 'abc'), '{"model_type":"llama"}');
symlinkSync(join(home, 'blobs', 'abc'), join(view, 'config.json'));

/** Each line is one attempt; what it gives, or the code of its error, is sent back. */
const PROBE = `
const fs = require('node:fs'), net = require('node:net'), { spawnSync } = require('node:child_process');
const socket = new net.Socket({ fd: 3 });
const view = process.cwd(), home = view + '/../..';
const results = {};
const attempt = (name, work) => { try { results[name] = work() ?? 'done'; } catch (error) { results[name] = error.code ?? String(error); } };
attempt('read its model', () => fs.readFileSync(view + '/config.json', 'utf8'));
attempt('read a secret', () => fs.readFileSync(home + '/.ssh/id_ed25519', 'utf8'));
attempt('list the home', () => fs.readdirSync(home).join());
attempt('list the root', () => fs.readdirSync('/').join());
attempt('read the users', () => fs.readFileSync('/etc/passwd', 'utf8'));
for (const place of [view, '/tmp', '/', '/dev', '/dev/shm', '/usr', home, require('node:path').dirname(process.execPath)]) attempt('write ' + place.replace(view, 'its view'), () => fs.writeFileSync(place + '/planted', 'x'));
attempt('see processes', () => fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name)).length);
attempt('signal its parent', () => process.kill(Number(process.argv[1]), 0));
attempt('gain', () => /NoNewPrivs:\\s+1/.test(fs.readFileSync('/proc/self/status', 'utf8')) && /CapEff:\\s+0+\\n/.test(fs.readFileSync('/proc/self/status', 'utf8')));
attempt('filter', () => /Seccomp:\\s+2/.exec(fs.readFileSync('/proc/self/status', 'utf8')) !== null);
attempt('new namespaces', () => spawnSync('/usr/bin/unshare', ['--user', 'true']).status);
attempt('interfaces', () => fs.readFileSync('/proc/net/dev', 'utf8').split('\\n').slice(2).map((line) => line.split(':')[0].trim()).filter((name) => name !== '' && name !== 'lo').join());
const connect = (options) => new Promise((resolve) => net.connect(options).on('connect', () => resolve('connected')).on('error', (error) => resolve(error.code)));
Promise.all([connect({ host: '127.0.0.1', port: Number(process.argv[2]) }), connect({ host: '192.0.2.1', port: 80 }), connect({ path: '/run/x.sock' })]).then(([own, far, unix]) =>
  socket.end(JSON.stringify({ ...results, 'connect here': own, 'connect there': far, 'connect by a file': unix, pid: process.pid, env: process.env }) + '\\n'));`;

const spec = (more: Partial<ProcessSpec> = {}): ProcessSpec => ({
  command: process.execPath,
  args: ['-e', PROBE, '--'],
  cwd: view,
  env: {},
  channel: 'ipc',
  readPaths: [view],
  writePaths: [],
  devices: 'none',
  memoryBytes: 1e9,
  threads: 1,
  startTimeoutMs: 10_000,
  stopGraceMs: 1_000,
  ...more,
});

async function probe(options: EnclosureOptions, more: Partial<ProcessSpec> = {}) {
  await using server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await using supervisor = createSupervisor({
    environment: { PATH: process.env['PATH'], HF_TOKEN: 'hf_secret', AWS_SECRET_ACCESS_KEY: 'secret', HEARTH_HOME: home },
    enclosure: createEnclosure(options),
  });
  const child = await supervisor.start(spec({ args: ['-e', PROBE, '--', String(process.pid), String(port)], ...more }));
  const answer = await new Promise<Record<string, unknown>>((resolve) => child.channel.onMessage((message) => resolve(message as never)));
  return answer;
}

describe(`the cage of bubblewrap${why}`, () => {
  test.skipIf(!bubblewrap)('[security G59] a caged process has no network, no secret of the home, and nothing to write to', async () => {
    const got = await probe({});
    expect(got).toMatchObject({
      'read its model': '{"model_type":"llama"}',
      'read a secret': 'ENOENT',
      'list the home': '.hearth,blobs',
      'read the users': 'ENOENT',
      'write its view': 'EROFS',
      'see processes': 2,
      gain: true,
      filter: true,
      interfaces: '',
      'connect here': 'EAFNOSUPPORT',
      'connect there': 'EAFNOSUPPORT',
      'connect by a file': 'ENOENT',
    });
    for (const [name, result] of Object.entries(got)) if (name.startsWith('write ')) expect([name, result]).toEqual([name, 'EROFS']);
    expect(['ESRCH', 'EPERM']).toContain(got['signal its parent']);
    expect(got['new namespaces']).not.toBe(0);
    expect(Object.keys(got['env'] as object).sort()).toEqual(['HOME', 'PATH', 'PWD']);
  });

  test.skipIf(!bubblewrap)('a place to write to is given when the process asks for one, and no other', async () => {
    const writable = join(here, 'out');
    mkdirSync(writable);
    const got = await probe({}, { writePaths: [writable], args: ['-e', PROBE.replaceAll("'/tmp'", JSON.stringify(writable)), '--', '1', '1'] });
    expect(got[`write ${writable}`]).toBe('done');
    expect(got['write /']).toBe('EROFS');
  });

  test.skipIf(!bubblewrap)('the number that is told is that of the program, whose end and its signal are seen from outside', async () => {
    await using supervisor = createSupervisor({ enclosure: createEnclosure() });
    const child = await supervisor.start(
      spec({
        args: [
          '-e',
          'process.on("SIGTERM", () => process.exit(7)); new (require("node:net").Socket)({ fd: 3 }).write("1\\n"); setInterval(() => {}, 1000)',
          '--',
        ],
      }),
    );
    await new Promise((resolve) => child.channel.onMessage(resolve));
    const inside = child.pid;
    expect(child.protection!().held.find(({ name }) => name === 'rlimit:core')).toEqual({ name: 'rlimit:core', value: 0 });
    process.kill(inside, 'SIGUSR2');
    expect(await child.channel.exited).toMatchObject({ code: null, signal: 'SIGUSR2' });
    const other = await supervisor.start(
      spec({
        args: [
          '-e',
          'process.on("SIGTERM", () => process.exit(7)); new (require("node:net").Socket)({ fd: 3 }).write("1\\n"); setInterval(() => {}, 1000)',
          '--',
        ],
      }),
    );
    await new Promise((resolve) => other.channel.onMessage(resolve));
    expect(await other.stop()).toEqual({ method: 'graceful' });
    expect(await other.channel.exited).toMatchObject({ code: 7, signal: null });
  });
});

describe('weaker cages', () => {
  const events: SecurityEvent[] = [];
  const sink = { record: (event: SecurityEvent) => void events.push(event), assertWritable() {} };

  test.skipIf(!unshareWorks)(
    'without bubblewrap a process still has no network; it is told as weak, and refused where a sandbox is required (skipped where the system allows no user namespaces)',
    async () => {
      const choice = { find: (name: string) => (name === 'bwrap' ? null : findProgram(name)) };
      const got = await probe({ choice, events: sink });
      expect(got).toMatchObject({ 'connect here': 'ENETUNREACH', 'connect there': 'ENETUNREACH', interfaces: '', gain: true });
      expect(events.map(({ event }) => event)).toEqual(['sandbox.weak']);
      await using strict = createSupervisor({ enclosure: createEnclosure({ mode: 'required', choice }) });
      await expect(strict.start(spec())).rejects.toMatchObject({ code: 'sandbox_unavailable' });
    },
  );

  test('a machine without namespaces is told once, as sandbox.weak, and is refused where a sandbox is required', async () => {
    events.length = 0;
    const choice = { works: async () => false };
    await using supervisor = createSupervisor({ enclosure: createEnclosure({ choice, events: sink }) });
    for (let i = 0; i < 2; i += 1) {
      const child = await supervisor.start(spec({ args: ['-e', ''] }));
      await child.channel.exited;
      expect(child.protection!().cage).toMatchObject({ kind: 'permissions', strength: 'weak' });
    }
    expect(events.map(({ event }) => event)).toEqual(['sandbox.weak']);
    await using strict = createSupervisor({ enclosure: createEnclosure({ mode: 'required', choice }) });
    await expect(strict.start(spec())).rejects.toMatchObject({ code: 'sandbox_unavailable' });
  });

  test('a sandbox that is turned off is told once, as sandbox.off', async () => {
    events.length = 0;
    await using supervisor = createSupervisor({ enclosure: createEnclosure({ mode: 'off', events: sink }) });
    for (let i = 0; i < 2; i += 1) await (await supervisor.start(spec({ args: ['-e', ''] }))).channel.exited;
    expect(events.map(({ event }) => event)).toEqual(['sandbox.off']);
  });
});

test('the filter of system calls is a program of whole instructions that ends by allowing, for both processors; there is none for others', () => {
  for (const [architecture, audit] of [
    ['x64', 0xc000_003e],
    ['arm64', 0xc000_00b7],
  ] as const) {
    const bytes = seccompFilter(architecture)!;
    const view = new DataView(bytes.buffer);
    expect(bytes.length % 8).toBe(0);
    expect(view.getUint32(8 + 4, true)).toBe(audit);
    expect([view.getUint16(bytes.length - 8, true), view.getUint32(bytes.length - 4, true)]).toEqual([0x06, 0x7fff_0000]);
    // No jump leads out of the program.
    for (let at = 0; at < bytes.length; at += 8)
      for (const jump of [bytes[at + 2]!, bytes[at + 3]!]) expect(at + 8 * (jump + 1)).toBeLessThanOrEqual(bytes.length - (jump === 0 ? 0 : 8));
  }
  expect(seccompFilter('s390x')).toBeNull();
});

test('the profile of macOS denies by default, names what may be read and written, and quotes what a path may hold (not run on a Mac here)', () => {
  const text = sandboxProfile('/opt/node', { readPaths: ['/models/a "b" (c)\\d'], writePaths: ['/run/x'], devices: 'none' });
  expect(text.split('\n').slice(0, 3)).toEqual(['(version 1)', '(deny default)', '(deny network*)']);
  expect(text).toContain('(subpath "/models/a \\"b\\" (c)\\\\d")');
  expect(text).toContain('(allow file-write* (subpath "/run/x"))');
  expect(text).not.toContain('/Users');
  expect(sandboxProfile('/opt/node', { readPaths: [], writePaths: [], devices: 'none' })).not.toMatch(/file-write\*|iokit/);
  expect(sandboxProfile('/opt/node', { readPaths: [], writePaths: [], devices: 'gpu' })).toContain('(allow iokit-open)');
});

test('arguments of every kind reach the program as they are, through every wall: no shell and no other option parser sees them', async () => {
  const values = ['$(touch planted)', '`id`', "'; rm -rf x", '--version', '-p', '--', '-', 'a\nb', '*', '~', '%s', 'ä😀', ''];
  const script = 'new (require("node:net").Socket)({ fd: 3 }).end(JSON.stringify(process.argv.slice(1)) + "\\n")';
  const choices: EnclosureOptions[] = [{}, { mode: 'off' }, { choice: { find: (name) => (name === 'bwrap' ? null : findProgram(name)) } }];
  for (const options of choices) {
    await using supervisor = createSupervisor({ enclosure: createEnclosure(options) });
    const child = await supervisor.start(spec({ args: ['-e', script, '--', ...values] }));
    const got = await new Promise<string[]>((resolve) => child.channel.onMessage((message) => resolve(message as string[])));
    expect(got.slice(0, -1)).toEqual(values);
  }
  await using supervisor = createSupervisor();
  for (const bad of [{ args: ['a\0b'] }, { cwd: '/tmp\0' }, { readPaths: ['/a\0'] }, { readPaths: ['--share-net'] }, { writePaths: ['relative'] }])
    await expect(supervisor.start(spec(bad))).rejects.toMatchObject({ code: 'engine_options_invalid' });
});
