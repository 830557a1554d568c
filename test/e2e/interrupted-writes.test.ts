import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { findProgram } from '../../src/supervisor/index.ts';

const preload = pathToFileURL(join(import.meta.dirname, '../support/failing-writes.mjs')).href;
const core = pathToFileURL(join(import.meta.dirname, '../../src/core/index.ts')).href;
const NEW = 'new '.repeat(50_000);

/** Writes the new content over the old one with the real function, in a process whose n-th call fails or ends it. */
function replace(directory: string, at: number, how: string): Promise<{ signal: string | null; said: string }> {
  const script = `
    const { writeFileAtomic, systemError } = await import(${JSON.stringify(core)});
    try { await writeFileAtomic(${JSON.stringify(join(directory, 'file'))}, 'new '.repeat(50_000)); console.log('written'); }
    catch (error) { const told = systemError(error); console.log(told === null ? String(error) : told.code); }`;
  const child = spawn(process.execPath, [`--import=${preload}`, '--input-type=module', '-e', script], {
    env: { ...process.env, FAIL_AT: String(at), FAIL_WITH: how, FAIL_BELOW: directory },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (text) => {
    said += String(text);
  });
  return new Promise((resolve) => child.on('close', (_, signal) => resolve({ signal, said: said.trim() })));
}

test('[security G55] a writer that is killed at any of its calls leaves the old content or the new one, never a part', async () => {
  const seen = new Set<string>();
  const parent = mkdtempSync(join(tmpdir(), 'hearth_interrupted_'));
  for (let at = 1; ; at += 1) {
    const directory = join(parent, String(at));
    mkdirSync(directory);
    writeFileSync(join(directory, 'file'), 'old');
    const { signal, said } = await replace(directory, at, 'kill');
    const text = readFileSync(join(directory, 'file'), 'utf8');
    expect(['old', NEW]).toContain(text);
    if (signal === null) {
      expect([said, text === NEW]).toEqual(['written', true]);
      expect(readdirSync(directory)).toEqual(['file']);
      // open, write, fsync, close, rename, and the directory's open, fsync, close.
      expect(at).toBeGreaterThan(7);
      break;
    }
    seen.add(text === NEW ? 'new' : 'old');
  }
  expect([...seen].sort()).toEqual(['new', 'old']);
}, 120_000);

test.each([
  ['ENOSPC', 'insufficient_space'],
  ['EDQUOT', 'insufficient_space'],
  ['EROFS', 'file_system_error'],
  ['EMFILE', 'file_system_error'],
])(
  '[security G58] %s at any call of a write is told as %s, and the old content stays',
  async (how, code) => {
    const parent = mkdtempSync(join(tmpdir(), 'hearth_interrupted_'));
    // open, write, fsync, close, rename: what comes after the rename is only for a power cut.
    for (let at = 1; at <= 5; at += 1) {
      const directory = join(parent, String(at));
      mkdirSync(directory);
      writeFileSync(join(directory, 'file'), 'old');
      expect((await replace(directory, at, how)).said).toBe(code);
      expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('old');
      expect(readdirSync(directory)).toEqual(['file']);
    }
  },
  120_000,
);

const bwrap = findProgram('bwrap');
const mounts = bwrap !== null && spawnSync(bwrap, ['--unshare-user', '--dev-bind', '/', '/', '--tmpfs', '/mnt', '/bin/true']).status === 0;
const hearth = join(import.meta.dirname, '../../bin/hearth.js');

/** Runs the command line with its home on a file system of one's own. A daemon that comes up there ends with the shell, as all its processes. */
function onOwnFileSystem(mount: readonly string[], home: string, script: string) {
  const env = { PATH: process.env['PATH'], HOME: home, HEARTH_HOME: home, NODE: process.execPath, HEARTH: hearth };
  return spawnSync(
    bwrap!,
    ['--unshare-user', '--unshare-pid', '--die-with-parent', '--dev-bind', '/', '/', '--proc', '/proc', ...mount, '/bin/sh', '-c', script],
    { encoding: 'utf8', env: env as NodeJS.ProcessEnv },
  );
}

test.skipIf(!mounts)(
  '[security G58] a full and a read-only home: config, log and daemon say so, and nothing is corrupt (needs bubblewrap for a file system of its own)',
  () => {
    const home = mkdtempSync(join(tmpdir(), 'hearth_full_'));
    const full = onOwnFileSystem(
      ['--perms', '0700', '--size', '65536', '--tmpfs', home],
      home,
      '"$NODE" "$HEARTH" config set logs.level debug; cat "$HEARTH_HOME/config.yaml" > /dev/null; head -c 100000 /dev/zero > "$HEARTH_HOME/fill"; "$NODE" "$HEARTH" config set logs.level error; echo "rc $?"; cat "$HEARTH_HOME/config.yaml"; "$NODE" "$HEARTH" up; echo "rc $?"',
    );
    expect(full.stdout).toContain('rc 3');
    expect(full.stderr).toContain('The disk is full');
    expect(full.stdout).toMatch(/level: debug/);
    const readOnly = onOwnFileSystem(
      ['--ro-bind', home, home],
      home,
      '"$NODE" "$HEARTH" config set logs.level error; echo "rc $?"; "$NODE" "$HEARTH" up; echo "rc $?"',
    );
    expect(readOnly.stdout.match(/rc 3/g)).toHaveLength(2);
    expect(readOnly.stderr.match(/read-only/g)!.length).toBeGreaterThanOrEqual(2);
  },
  120_000,
);
