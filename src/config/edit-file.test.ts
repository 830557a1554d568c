import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { setInFile } from './edit-file.ts';
import { CONFIG_KEYS, findConfigFile, findKey, load } from './index.ts';

let home = '';
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hearth_test_'));
});
afterEach(() => rmSync(home, { recursive: true }));

let clock = 0;
const set = (key: string, text: string) => {
  clock += 1000;
  return setInFile(home, findKey(key)!, text, new Date(clock));
};
const file = (name = 'config.yaml') => readFileSync(join(home, name), 'utf8');

describe('config set', () => {
  it('takes groups and lists as JSON, also into a file that has them, and says what is wrong in them', async () => {
    await set('aliases', '{"claude-*": "smollm2-135m"}');
    await set('remotes', '{"lab":{"kind":"openai","baseUrl":"http://127.0.0.1:1/v1","models":["m"]}}');
    await set('aliases', '{"mine": "other"}');
    await set('metrics.aliases', '["vllm"]');
    expect((await load({ userFile: findConfigFile(home)! })).config).toMatchObject({
      aliases: { mine: 'other' },
      remotes: { lab: { models: ['m'] } },
      metrics: { aliases: ['vllm'] },
    });
    expect(file()).toContain('  mine: other\n');
    const before = file();
    for (const [key, text, part] of [
      ['aliases', 'x', 'JSON'],
      ['remotes', '{"lab":{"kind":"openai"}}', 'lab.baseUrl'],
      ['aliases', '[1]', 'aliases'],
    ] as const)
      await expect(set(key, text)).rejects.toMatchObject({ code: 'invalid_value', message: expect.stringContaining(part) });
    expect(file()).toBe(before);
  });

  it('keeps comments and order, makes the file 0600, and backs up what was there', async () => {
    writeFileSync(join(home, 'config.yaml'), '# mine\nserve:\n  port: 7000 # lucky\nlogs:\n  level: debug\n');
    await set('serve.port', '7001');
    await set('serve.host', 'localhost');
    expect(file()).toBe('# mine\nserve:\n  port: 7001 # lucky\n  host: localhost\nlogs:\n  level: debug\n');
    expect(statSync(join(home, 'config.yaml')).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(home, 'config.backups'))).toHaveLength(2);
  });

  it('makes a file that is not there, fills an empty group, edits JSON as JSON', async () => {
    await set('logs.json', 'on');
    expect(file()).toBe('logs:\n  json: true\n');
    writeFileSync(join(home, 'config.yaml'), 'serve:\n');
    await set('serve.port', '1');
    expect(file()).toBe('serve:\n  port: 1\n');
    rmSync(join(home, 'config.yaml'));
    writeFileSync(join(home, 'config.json'), '{"serve": {"port": 5}}');
    await set('serve.maxTokens', '9');
    expect(JSON.parse(file('config.json'))).toEqual({ serve: { port: 5, maxTokens: 9 } });
  });

  it('keeps the ten newest backups', async () => {
    for (let port = 1; port <= 14; port += 1) await set('serve.port', String(port));
    expect(readdirSync(join(home, 'config.backups'))).toHaveLength(10);
  });

  it('refuses a wrong value or a broken file and leaves the bytes alone', async () => {
    writeFileSync(join(home, 'config.yaml'), 'serve: {port: 7000}\n');
    await expect(set('serve.port', '70000')).rejects.toMatchObject({ code: 'invalid_value', message: expect.stringContaining('0 … 65535') });
    expect(file()).toBe('serve: {port: 7000}\n');
    writeFileSync(join(home, 'config.yaml'), 'serve: {port: never}\n');
    await expect(set('serve.host', 'localhost')).rejects.toMatchObject({ code: 'config_invalid' });
    expect(file()).toBe('serve: {port: never}\n');
  });

  it('round-trips a value of every key', async () => {
    const samples = ['true', 'null', '3', 'x', 'http://127.0.0.1:1', 'a,b', 'int8', 'error', 'f32', '1', 'auto', 'shared', 'memory', 'off', 'vllm', 'high'];
    // Groups of names that the user chooses are written in the file itself.
    for (const key of CONFIG_KEYS.filter(({ schema }) => !schema.safeParse({}).success)) {
      let done = 0;
      for (const text of samples) {
        const edit = await set(key.name, text).catch(() => null);
        if (edit === null) continue;
        done += 1;
        const { config } = await load({ userFile: findConfigFile(home) });
        expect(key.path.reduce((node, name) => (node as Record<string, unknown>)[name], config as unknown)).toEqual(edit.value);
      }
      expect([key.name, done > 0]).toEqual([key.name, true]);
    }
  });
});
