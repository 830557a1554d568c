import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { hasEnded, isRunning } from '../../test/support/process-state.ts';
import { findProgram } from './cage/choose-cage.ts';
import { childEnvironment, commandLine } from './command-line.ts';
import { createEnclosure, createSupervisor, type ProcessSpec } from './index.ts';

const spec = (script: string, more: Partial<ProcessSpec> = {}): ProcessSpec => ({
  command: process.execPath,
  args: ['-e', script, '--'],
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
  ...more,
});
const channelCode = 'const net = require("node:net"); const socket = new net.Socket({ fd: 3 });';

test('a child answers over its channel and sees only the allowed environment and its launch id', async () => {
  await using supervisor = createSupervisor({ environment: { PATH: '/bin', HF_TOKEN: 'secret', LANG: 'C' } });
  const child = await supervisor.start(
    spec(`${channelCode} socket.on("data", (d) => socket.write(JSON.stringify({ got: JSON.parse(d), env: process.env, argv: process.argv }) + "\\n"));`, {
      env: { HEARTH_RANKS: '2' },
    }),
  );
  const answer = new Promise<{ got: unknown; env: Record<string, string>; argv: string[] }>((resolve) => child.channel.onMessage((m) => resolve(m as never)));
  child.channel.send({ a: 'ä' });
  const { got, env, argv } = await answer;
  expect(got).toEqual({ a: 'ä' });
  expect(env).toMatchObject({ PATH: '/bin', LANG: 'C', HOME: tmpdir(), HEARTH_RANKS: '2' });
  expect(Object.keys(env)).not.toContain('HF_TOKEN');
  expect(argv.at(-1)).toMatch(/^--hearth-launch=[0-9a-f]{32}$/);
  expect(await child.stop()).toEqual({ method: 'graceful' });
  expect(await child.stop()).toEqual({ method: 'graceful' });
});

test('an exit is told with its code and the last lines that were written', async () => {
  const lines: string[] = [];
  await using supervisor = createSupervisor({ onLine: (line) => lines.push(line) });
  const child = await supervisor.start(spec('for (let i = 0; i < 40; i++) console.error("line " + i); process.exitCode = 3;'));
  const exit = await child.channel.exited;
  expect(exit).toMatchObject({ code: 3, signal: null });
  expect(exit.lastLines.at(-1)).toBe('line 39');
  expect(exit.lastLines).toHaveLength(20);
  expect(lines).toHaveLength(40);
  expect(await child.stop()).toEqual({ method: 'gone' });
});

test('a child that ignores SIGTERM is killed after the grace time, with its own children', async () => {
  await using supervisor = createSupervisor();
  const child = await supervisor.start(
    spec(
      `${channelCode} process.on("SIGTERM", () => {}); const c = require("node:child_process").spawn(process.execPath, ["-e", "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"], { stdio: "ignore" }); socket.write(c.pid + "\\n"); setInterval(() => {}, 1000);`,
    ),
  );
  const grandchild = await new Promise<number>((resolve) => child.channel.onMessage((m) => resolve(m as number)));
  expect(isRunning(grandchild)).toBe(true);
  expect(await child.stop()).toEqual({ method: 'forced' });
  expect(await child.channel.exited).toMatchObject({ signal: 'SIGKILL' });
  expect(await hasEnded(grandchild)).toBe(true);
});

test('a child that sends something that is no message is ended, and the parent lives on', async () => {
  await using supervisor = createSupervisor();
  for (const garbage of ['"{broken\\n"', 'Buffer.alloc(2_000_000, 32)']) {
    const child = await supervisor.start(spec(`${channelCode} socket.write(${garbage}); setInterval(() => {}, 1000);`));
    child.channel.onMessage(() => {});
    expect((await child.channel.exited).violation).toMatch(/no message/);
  }
});

test('a program that is not there, a relative path and a dangerous variable are refused', async () => {
  await using supervisor = createSupervisor({ enclosure: createEnclosure({ mode: 'off', limits: 'none', choice: { find: () => null } }) });
  await expect(supervisor.start(spec('', { command: '/nowhere/node' }))).rejects.toMatchObject({ code: 'file_system_error' });
  await expect(supervisor.start(spec('', { command: 'node' }))).rejects.toMatchObject({ code: 'engine_options_invalid' });
  for (const name of ['NODE_OPTIONS', 'LD_PRELOAD', 'HF_TOKEN', 'MY_API_KEY', 'lower'])
    expect(() => childEnvironment(spec('', { env: { [name]: 'x' } }), {})).toThrow(expect.objectContaining({ code: 'engine_options_invalid' }));
});

test('values that look like options reach the program as its own arguments', () => {
  const argv = commandLine({ ...spec(''), command: '/bin/echo', args: ['--x'] }, 'id');
  expect(argv).toEqual(['/bin/echo', '--x', '--hearth-launch=id']);
});

test.skipIf(findProgram('setpriv') === null)('a busy child ends when its parent is killed (this machine has setpriv)', async () => {
  const parentScript = `
    import { createSupervisor } from ${JSON.stringify(pathToFileURL(`${import.meta.dirname}/index.ts`).href)};
    const supervisor = createSupervisor();
    const child = await supervisor.start(${JSON.stringify(spec('for (;;) {}'))});
    process.stdout.write(child.pid + '\\n');
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', parentScript], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [pid] = (await once(parent.stdout, 'data')) as [Buffer];
  expect(isRunning(Number(pid))).toBe(true);
  // Until setpriv has asked for the signal and become the program, the kernel has nothing to send.
  await expect.poll(() => readFileSync(`/proc/${Number(pid)}/cmdline`, 'utf8'), { timeout: 30_000 }).toContain('for (;;)');
  await expect.poll(() => readFileSync(`/proc/${Number(pid)}/cmdline`, 'utf8'), { timeout: 30_000 }).not.toContain('pdeathsig');
  parent.kill('SIGKILL');
  expect(await hasEnded(Number(pid))).toBe(true);
});
