import { mkdirSync, mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createEnclosure, createSupervisor, type EnclosureOptions, findProgram } from '../../src/supervisor/index.ts';
import { CALL_DONE, type SystemCall, writeSystemCallProgram } from '../support/system-call-program.ts';

/** A model whose files run what they want: these are all that an engine would be able to try. */
const here = mkdtempSync(join(tmpdir(), 'hearth_attack_'));
const user = join(here, 'user');
const view = join(user, '.hearth/run/views/abc');
mkdirSync(view, { recursive: true, mode: 0o700 });
mkdirSync(join(user, '.ssh'), { mode: 0o700 });
const SECRETS = ['.ssh/id_ed25519', '.hearth/config.yaml', '.hearth/trust-install.key', '.hearth/state-access.sqlite'].map((name) => join(user, name));
for (const path of SECRETS) writeFileSync(path, 'private', { mode: 0o600 });
writeFileSync(join(view, 'config.json'), '{}');

const NEW_USER = 0x1000_0000;
/** Nothing that is there, so that no call has an effect where the cage does not hold: the filter looks at the number alone. */
const NOWHERE = '/nowhere/at/all';
const [NO_PROCESS, NO_FILE, NO_MEMORY] = [0x7fff_ffff, -1, 0];
/** Numbers of x86-64. */
const REFUSED: Readonly<Record<string, SystemCall>> = {
  'ptrace: let the parent trace': { number: 101, args: [0, 0, 0, 0] },
  'ptrace: attach to a process': { number: 101, args: [16, NO_PROCESS, 0, 0] },
  'read the memory of another process': { number: 310, args: [NO_PROCESS, NO_MEMORY, 1, NO_MEMORY, 1, 0] },
  'take a descriptor of another process': { number: 438, args: [NO_FILE, 0, 0] },
  'compare processes': { number: 312, args: [NO_PROCESS, NO_PROCESS, 0, 0, 0] },
  'mount a file system': { number: 165, args: ['none', NOWHERE, 'tmpfs', 0, 0] },
  'open a file system': { number: 430, args: ['none-of-that-name', 0] },
  'copy a mount': { number: 428, args: [NO_FILE, 'x', 1] },
  unmount: { number: 166, args: [NOWHERE, 0] },
  'change the root': { number: 161, args: [NOWHERE] },
  'swap the root': { number: 155, args: [NOWHERE, NOWHERE] },
  'new user namespace': { number: 272, args: [NEW_USER] },
  'new user namespace of a child': { number: 56, args: [NEW_USER | 17, 0, 0, 0, 0] },
  'enter a namespace': { number: 308, args: [NO_FILE, 0] },
  'open a file by its handle': { number: 304, args: [NO_FILE, NO_MEMORY, 0] },
  'load a program into the kernel': { number: 321, args: [9_999, NO_MEMORY, 0] },
  'ask for a key ring': { number: 250, args: [9_999, 0, 0] },
  'add a key': { number: 248, args: [NO_MEMORY, NO_MEMORY, NO_MEMORY, 0, 0] },
  'count events of the processor': { number: 298, args: [NO_MEMORY, NO_PROCESS, -1, -1, 0] },
  'handle page faults': { number: 323, args: [-1] },
  'set the clock': { number: 227, args: [9_999, NO_MEMORY] },
  'load a module': { number: 175, args: [NO_MEMORY, 0, NO_MEMORY] },
  'the log of the kernel': { number: 103, args: [9_999, NO_MEMORY, 0] },
  'ports of the machine': { number: 172, args: [9_999] },
  'a call of x32': { number: 0x4000_0000 + 39, args: [] },
};
/** As if they were not built into the kernel. */
const UNKNOWN: Readonly<Record<string, SystemCall>> = {
  'a ring of calls': { number: 425, args: [0, NO_MEMORY] },
  'a child with options in memory': { number: 435, args: [NO_MEMORY, 0] },
};
/** Families of sockets beside those of files: IPv4, IPv6, netlink, packets, of virtual machines, Bluetooth, of algorithms. */
const SOCKETS = Object.fromEntries([2, 10, 16, 17, 40, 31, 38].map((family) => [`socket of family ${family}`, { number: 41, args: [family, 1, 0] }]));
/** Calls that everybody may make, about nothing but the process itself: the only ones that are made outside of the strong cage. */
const HARMLESS = ['ptrace: let the parent trace', 'socket of family 2'];
const GATE = { 'the gate of 32-bit programs': { number: 20, args: [], gate32: true } };
const CALLS: Readonly<Record<string, SystemCall>> = { ...REFUSED, ...UNKNOWN, ...SOCKETS, ...GATE };
for (const [i, call] of Object.values(CALLS).entries()) writeSystemCallProgram(join(view, `call-${i}`), call);

const PROBE = `
const fs = require('node:fs'), net = require('node:net'), { spawnSync } = require('node:child_process'), path = require('node:path');
const [parent, home, abstract, secrets, calls, places, own] = JSON.parse(process.argv[1]);
const results = {};
const attempt = (name, work) => { try { results[name] = work() ?? 'done'; } catch (error) { results[name] = error.code ?? String(error); } };
for (const secret of secrets) attempt('read ' + secret, () => fs.readFileSync(secret, 'utf8'));
attempt('list home', () => fs.readdirSync(home).join());
attempt('list hearth', () => fs.readdirSync(home + '/.hearth').join());
attempt('through the root of another', () => fs.readFileSync('/proc/1/root' + secrets[0], 'utf8'));
for (const what of ['environ', 'mem', 'cwd', 'root', 'fd']) attempt('parent ' + what, () => what === 'environ' ? fs.readFileSync('/proc/' + parent + '/environ', 'utf8') : what === 'mem' ? fs.openSync('/proc/' + parent + '/mem', 'r') : fs.readdirSync('/proc/' + parent + '/' + what).join());
attempt('processes', () => fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name)).map((pid) => fs.readFileSync('/proc/' + pid + '/comm', 'utf8').trim()).join());
attempt('signal', () => process.kill(parent, 0));
attempt('terminal', () => fs.openSync('/dev/tty', 'r+'));
attempt('disks', () => fs.readdirSync('/dev').filter((name) => /^(sd|vd|nvme|loop|dm-|mem|kmem|kmsg|port|fuse|kvm|net)/.test(name)).join());
for (const place of places) attempt('may write ' + place, () => fs.accessSync(place, fs.constants.W_OK));
for (const place of own) attempt('write ' + place, () => fs.writeFileSync(place + '/planted', '1'));
attempt('loosen its view', () => fs.chmodSync(process.cwd(), 0o777));
attempt('remove its view', () => fs.unlinkSync('config.json'));
attempt('descriptors', () => fs.readdirSync('/proc/self/fd').map((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } }).filter((target) => target.startsWith('/') && !/^\\/(dev\\/(null|urandom|random)|proc\\/\\d+\\/fd)$/.test(target)).join());
const status = () => spawnSync('/bin/cat', ['/proc/self/status']).stdout.toString();
attempt('rights of a program', () => ['NoNewPrivs', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map((name) => new RegExp('^' + name + ':\\\\s+(.*)$', 'm').exec(status())?.[1]).join());
attempt('environment', () => Object.keys(process.env).sort().join());
for (const [i, name] of calls.entries()) { if (name === null) continue; const { status, signal, error } = spawnSync(process.cwd() + '/call-' + i); results['call ' + name] = signal ?? status ?? error.code; }
const connect = (options) => new Promise((resolve) => net.connect(options).on('connect', () => resolve('connected')).on('error', (error) => resolve(error.code)));
Promise.all([connect({ path: '\\0' + abstract }), connect({ path: home + '/.hearth/run/hearthd.sock' }), connect({ path: '/run/dbus/system_bus_socket' })]).then(([hidden, daemon, bus]) =>
  new net.Socket({ fd: 3 }).end(JSON.stringify({ ...results, 'abstract socket': hidden, 'socket of the daemon': daemon, 'bus of the system': bus }) + '\\n'));`;

/** Of the machine: only asked about. */
const PLACES = [
  '/',
  '/tmp',
  '/dev',
  '/dev/shm',
  '/usr',
  '/etc',
  '/run',
  '/var/tmp',
  '/sys',
  process.execPath,
  '/proc/sys/kernel/hostname',
  '/proc/sysrq-trigger',
];
/** Of this test: really tried. */
const OWN = [view, user, join(user, '.hearth/run')];

/** `calls`: names of those that are made. */
async function attack(options: EnclosureOptions, calls: readonly string[] = Object.keys(CALLS)): Promise<Readonly<Record<string, unknown>>> {
  const abstract = `hearth-attack-${process.pid}`;
  await using hidden = createServer().listen(`\0${abstract}`);
  await using daemon = createServer().listen(join(user, '.hearth/run/hearthd.sock'));
  await Promise.all([hidden, daemon].map((server) => new Promise((resolve) => server.once('listening', resolve))));
  openSync(SECRETS[0]!, 'r'); // descriptors of the parent stay with it
  await using supervisor = createSupervisor({
    environment: { PATH: process.env['PATH'], HF_TOKEN: 'hf_secret', SSH_AUTH_SOCK: '/x', LD_PRELOAD: '/x' },
    enclosure: createEnclosure(options),
  });
  const facts = JSON.stringify([process.pid, user, abstract, SECRETS, Object.keys(CALLS).map((name) => (calls.includes(name) ? name : null)), PLACES, OWN]);
  const child = await supervisor.start({
    command: process.execPath,
    args: ['-e', PROBE, '--', facts],
    cwd: view,
    env: {},
    channel: 'ipc',
    readPaths: [view],
    writePaths: [],
    devices: 'none',
    memoryBytes: 1e9,
    threads: 8,
    startTimeoutMs: 30_000,
    stopGraceMs: 1_000,
  });
  return await Promise.race([
    new Promise<Readonly<Record<string, unknown>>>((resolve) => child.channel.onMessage((message) => resolve(message as never))),
    child.channel.exited.then(({ lastLines }) => Promise.reject(new Error(lastLines.join('\n')))),
  ]);
}

const without = { choice: { find: (name: string) => (name === 'bwrap' ? null : findProgram(name)) } };
const kindOf = async (options: EnclosureOptions) => (await createEnclosure(options).ready()).cage.kind;
const strong = (await kindOf({})) === 'bubblewrap';
const middle = (await kindOf(without)) === 'namespaces';
const x64 = process.arch === 'x64' && process.platform === 'linux';
const only = (got: Readonly<Record<string, unknown>>, of: object) => Object.fromEntries(Object.keys(of).map((name) => [name, got[`call ${name}`]]));
const each = (of: object, value: unknown) => Object.fromEntries(Object.keys(of).map((name) => [name, value]));

describe.skipIf(!x64)('a program of an attacker (made for Linux on x86-64; skipped elsewhere)', () => {
  test.skipIf(!strong)(
    '[security G59] in bubblewrap finds no secret, no socket, no process, no call and no place to write (skipped where it does not work)',
    async () => {
      const got = await attack({});
      for (const secret of SECRETS) expect([secret, got[`read ${secret}`]]).toEqual([secret, 'ENOENT']);
      expect(got).toMatchObject({
        'through the root of another': expect.stringMatching(/^E(NOENT|ACCES|PERM)$/),
        'list home': '.hearth',
        'list hearth': 'run',
      });
      for (const what of ['environ', 'mem', 'cwd', 'root', 'fd']) expect([what, got[`parent ${what}`]]).toEqual([what, 'ENOENT']);
      expect(String(got['processes']).split(',').toSorted()).toEqual(['MainThread', 'bwrap']);
      expect(got).toMatchObject({ signal: 'ESRCH', terminal: expect.stringMatching(/^E/), disks: '', descriptors: '' });
      for (const place of PLACES) expect([place, got[`may write ${place}`]]).toEqual([place, expect.stringMatching(/^E(ROFS|NOENT|ACCES|PERM)$/)]);
      for (const place of OWN) expect([place, got[`write ${place}`]]).toEqual([place, 'EROFS']);
      for (const name of ['loosen its view', 'remove its view']) expect([name, got[name]]).toEqual([name, 'EROFS']);
      expect(got['rights of a program']).toBe(['1', ...Array.from({ length: 5 }, () => '0'.repeat(16))].join());
      expect(got['environment']).toBe('HOME,PATH,PWD');
      expect(got).toMatchObject({ 'abstract socket': 'ECONNREFUSED', 'socket of the daemon': 'ENOENT', 'bus of the system': 'ENOENT' });
      expect(only(got, REFUSED)).toEqual(each(REFUSED, 1));
      expect(only(got, UNKNOWN)).toEqual(each(UNKNOWN, 38));
      expect(only(got, SOCKETS)).toEqual(each(SOCKETS, 97));
      expect(got['call the gate of 32-bit programs']).toMatch(/^SIG(SYS|SEGV)$/);
    },
    60_000,
  );

  test.skipIf(!middle)(
    '[security G59] in namespaces alone has no network, no rights and nothing to gain (skipped where users may make none)',
    async () => {
      const got = await attack(without, HARMLESS);
      expect(got['rights of a program']).toBe(['1', ...Array.from({ length: 5 }, () => '0'.repeat(16))].join());
      expect(got).toMatchObject({ 'abstract socket': 'ECONNREFUSED', environment: 'HOME,PATH', 'parent environ': 'EACCES', 'parent mem': 'EACCES' });
    },
    60_000,
  );

  test('without a cage the same program does what the cage keeps away: it tries the right things', async () => {
    const got = await attack({ mode: 'off', limits: 'none' }, HARMLESS);
    expect(got).toMatchObject({ 'abstract socket': 'connected', 'socket of the daemon': 'connected', signal: true, [`read ${SECRETS[0]}`]: 'private' });
    expect(got[`write ${user}`]).toBe('done');
    expect(HARMLESS.map((name) => got[`call ${name}`])).toEqual(HARMLESS.map(() => CALL_DONE));
  }, 60_000);
});
