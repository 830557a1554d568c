import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { socketFetch } from '../../src/app/index.ts';
import { endpoints, pathNames } from '../../src/contract/index.ts';
import { createTestHome } from '../support/hearth-process.ts';
import { installTinyModel } from '../support/tiny-model.ts';

/** What was started, by every process of hearth that the test runs. */
interface Start {
  readonly how: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly shell: unknown;
}

/** Loaded into each program before it: writes down every start of another one. */
const recorder = (path: string): string => `
import child_process from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
for (const how of ['spawn', 'spawnSync', 'exec', 'execSync', 'execFile', 'execFileSync', 'fork']) {
  const real = child_process[how];
  child_process[how] = function (file, args, options) {
    const rest = Array.isArray(args) ? args : [];
    const given = Array.isArray(args) ? options : args;
    try { appendFileSync(${JSON.stringify(path)}, JSON.stringify({ how, file: String(file), args: rest.map(String), shell: given?.shell ?? false }) + '\\n'); } catch {}
    return Reflect.apply(real, this, arguments);
  };
}
syncBuiltinESMExports();
`;

describe('hostile names, paths and options', () => {
  test('[security G57] reach no shell, and no program takes them for an option', async () => {
    await using home = await createTestHome();
    await installTinyModel(home.hfHome);
    const [record, canary] = [join(home.directory, 'starts.jsonl'), join(home.directory, 'owned')];
    const module = join(home.directory, 'recorder.mjs');
    await writeFile(module, recorder(record));
    const env = { NODE_OPTIONS: `--import=${module}` };
    const hostile = [
      `$(touch ${canary})`,
      `\`touch ${canary}\``,
      `x; touch ${canary}`,
      `x\ntouch ${canary}\n`,
      `| touch ${canary}`,
      `' && touch ${canary} '`,
      '--output=/etc/passwd',
      '-rf',
      '--help\n',
      '*',
      '~root',
      '%0a',
      'x\u0000y',
    ];
    // No program can be given a zero byte by another one; over HTTP it can come.
    const words = hostile.filter((text) => !text.includes('\u0000'));
    const verbs: readonly ((value: string) => readonly string[])[] = [
      (value) => ['run', 'tiny-llama', '--max-tokens', '1', '--', value],
      (value) => ['run', '--max-tokens', '1', '--', value, 'hi'],
      (value) => ['run', 'tiny-llama', '--max-tokens', '1', '--image', value, 'hi'],
      (value) => ['run', 'tiny-llama', '--max-tokens', '1', '--system', value, 'hi'],
      (value) => ['show', '--', value],
      (value) => ['health', '--', value],
      (value) => ['rm', '-y', '--', value],
      (value) => ['pull', '--', value],
      (value) => ['pull', 'org/x', '--include', value],
      (value) => ['clone', '--', 'tiny-llama', value],
      (value) => ['convert', '--', 'tiny-llama', value],
      (value) => ['push', '--check-only', '--', value, 'org/x'],
      (value) => ['list', '--', value],
      (value) => ['embed', '--', value, 'hi'],
      (value) => ['logs', '--', value],
      (value) => ['config', 'get', '--', value],
      (value) => ['keys', 'api', 'new', '--name', value],
      (value) => ['keys', 'api', 'revoke', '--', value],
      (value) => ['engines', 'verify', '--', value],
      (value) => ['serve', '--port', '0', '--model', value],
      (value) => ['serve', '--host', value],
      (value) => [value],
    ];
    // Each verb gets one of them: all pairs are more than a test has time for, and a verb treats all texts alike.
    await Promise.all(
      [0, 1].map(async (half) => {
        for (const [index, verb] of verbs.entries()) {
          if (index % 2 !== half) continue;
          for (const value of [words[(index * 5 + 3) % words.length]!]) {
            const started = home.start(verb(value), { env, stdin: '' });
            const timer = setTimeout(() => started.child.kill('SIGTERM'), 15_000);
            const { stderr } = await started.ended;
            clearTimeout(timer);
            expect(stderr, `${JSON.stringify(verb(value))}`).not.toMatch(/did not foresee|fault in hearth/);
          }
        }
      }),
    );
    expect(existsSync(canary)).toBe(false);

    // The same over HTTP, with every route that takes a name.
    const server = home.start(['serve', '--json', '--port', '0'], { env });
    await server.waitFor('stdout', /\n\}\n/);
    const ask = socketFetch(join(home.home, 'run/hearthd.sock'));
    const before = await readdir(home.directory, { recursive: true });
    for (const endpoint of Object.values(endpoints)) {
      if (['daemonStop', 'stackDown', 'stackUp', 'drain', 'events'].includes(endpoint.id)) continue;
      for (const value of hostile) {
        const path = pathNames(endpoint.path).reduce(
          (filled, { name, rest }) => filled.replace(`{${name}${rest ? '+' : ''}}`, encodeURIComponent(value)),
          endpoint.path as string,
        );
        if (path === endpoint.path && endpoint.method !== 'POST') continue;
        const body = {
          model: value,
          path: value,
          source: value,
          target: value,
          ref: value,
          name: value,
          prompt: 'x',
          input: 'x',
          messages: [{ role: 'user', content: 'x' }],
          adapter: value,
          revision: value,
        };
        const shape = (endpoint as { body?: { shape?: object } }).body?.shape;
        const wanted = shape === undefined ? body : Object.fromEntries(Object.entries(body).filter(([name]) => name in shape));
        const response = await ask(
          new Request(`http://localhost${path}`, {
            method: endpoint.method,
            ...(endpoint.method === 'POST' ? { body: JSON.stringify(wanted), headers: { 'content-type': 'application/json' } } : {}),
          }),
        );
        const text = await response.text();
        expect(text, `${endpoint.method} ${path} ${JSON.stringify(wanted)}`).not.toContain('"internal_error"');
      }
    }
    server.child.kill('SIGTERM');
    await server.ended;
    expect(existsSync(canary)).toBe(false);
    const grown = (await readdir(home.directory, { recursive: true })).filter((path) => !before.includes(path) && !/^(home|hf|starts)/.test(path));
    expect(grown).toEqual([]);

    const starts = readFileSync(record, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Start);
    // Models were loaded, so there is something to look at.
    expect(starts.length).toBeGreaterThan(3);
    for (const { how, file, args, shell } of starts) {
      const what = `${how} ${file} ${args.join(' ').slice(0, 300)}`;
      expect(['spawn', 'spawnSync', 'execFile', 'execFileSync'], what).toContain(how);
      expect(shell, what).toBe(false);
      expect(file, what).not.toMatch(/(^|\/)(ba|da|z|k|c|fi)?sh$/);
      // What a user gave stands whole in one argument, and never first in it.
      for (const value of hostile) expect([file, ...args], what).not.toContain(value);
    }
    await mkdir(join(home.directory, 'done'));
  }, 300_000);
});
