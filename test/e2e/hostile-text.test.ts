import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startFakeDaemon } from '../support/fake-daemon.ts';
import { createFakeEngine } from '../support/fake-engine.ts';
import { createTestHome } from '../support/hearth-process.ts';
import { startHttp } from '../support/http-fixture.ts';
import { runInProcess } from '../support/run-cli.ts';
import { cacheModel, mlxModel, writeFiles } from '../support/temp-store.ts';

/** Colours, cursor, title, an 8-bit sequence, turned text, tags, separators, a bell. */
const HOSTILE = 'a\x1b[31mb\x1b]0;owned\x07c\x9b2Jd\u202egnp.exe\u2066x\u{e0041}\u{e0042}\u2028y\r\x08z\x7f';
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not come through
const RAW = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\u{e0000}-\u{e007f}]/u;
/** hearth's own line of progress is drawn anew like this. */
const own = (text: string): string => text.replaceAll('\r\x1b[2K', '');

describe('text that is not what it seems', () => {
  test('[security G37] hidden characters in a prompt are flagged and left in, however they are written; ordinary text of all scripts is not', async () => {
    await using server = await startHttp();
    const ask = async (content: string, raw = false) => {
      const body = JSON.stringify({ model: 'org/fake', messages: [{ role: 'user', content }] });
      const escaped = body.replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
      const answer = await fetch(`${server.baseUrl}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: raw ? body : escaped,
      });
      expect(answer.status).toBe(200);
      return {
        flag: answer.headers.get('x-hearth-hidden-text'),
        text: ((await answer.json()) as { choices: { message: { content: string } }[] }).choices[0]!.message.content,
      };
    };
    for (const raw of [true, false]) {
      expect((await ask('a \u202e b', raw)).flag).toBe('bidi');
      expect((await ask('a\u{e0041}\u{e0042} b', raw)).flag).toBe('tag');
      expect((await ask('pass\u200bword x\u200dy', raw)).flag).toBe('zero-width');
      const all = await ask('x \u2066 y\u{e0041} z\ufeff w', raw);
      expect(all.flag).toBe('bidi, tag, zero-width');
      expect(all.text).toContain('\u2066 y\u{e0041} z\ufeff');
      for (const plain of [
        'hello',
        'שלום עולם',
        'مرحبا',
        'می‌خواهم',
        'क्‍ष',
        '👩‍👩‍👧 🏳️‍🌈',
        '\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}',
        '日本語\n\ttab',
      ])
        expect((await ask(plain, raw)).flag, plain).toBeNull();
    }
  });

  test('[security G37] no verb lets control or direction characters of a model, a name, a file, a log or an error reach the terminal', async () => {
    await using home = await createTestHome();
    const cache = join(home.hfHome, 'hub');
    const name = `org/evil\x1b[31m\u202e`;
    await cacheModel(
      cache,
      'org/fake',
      mlxModel({
        [`note${HOSTILE.replaceAll('/', '')}.md`]: HOSTILE,
        'config.json': JSON.stringify({ model_type: `llama${HOSTILE}`, architectures: [HOSTILE], vocab_size: 10 }),
      }),
    );
    await cacheModel(cache, name, mlxModel());
    await writeFiles(join(home.home, 'logs'), { 'hearthd.log': `{"level":"info","msg":"${HOSTILE}"}\n${HOSTILE}\n` });
    const engine = createFakeEngine({ reply: `${HOSTILE} end` });
    await using _daemon = await startFakeDaemon(home, engine);
    const runs: readonly (readonly string[])[] = [
      ['run', 'org/fake', 'hi'],
      ['run', 'org/fake', '--no-stream', 'hi'],
      ['list', '--all'],
      ['list', '--all', '--health', '--verbose'],
      ['list', HOSTILE],
      ['show', 'org/fake', '--files'],
      ['show', 'org/fake', '--config'],
      ['show', name],
      ['show', HOSTILE],
      ['health', '--all'],
      ['health', HOSTILE],
      ['rm', HOSTILE, '-y'],
      ['pull', HOSTILE],
      ['clone', HOSTILE, join(home.directory, HOSTILE.replaceAll('/', ''))],
      ['convert', HOSTILE, HOSTILE],
      ['embed', 'org/fake', HOSTILE],
      ['status'],
      ['logs'],
      ['logs', 'hearthd'],
      ['logs', HOSTILE],
      ['config', 'get', HOSTILE],
      ['config', 'set', HOSTILE, HOSTILE],
      ['keys', 'api', 'revoke', HOSTILE],
      ['catalog', HOSTILE],
      [HOSTILE],
      ['show', `--${HOSTILE}`],
      ['engines', HOSTILE],
    ];
    for (const argv of runs) {
      for (const more of [[], ['--json']]) {
        const ended = await runInProcess([...argv, ...more], { directory: home.directory, terminal: true, env: { HEARTH_CONFIG_X: HOSTILE } });
        const what = JSON.stringify([...argv, ...more]);
        expect(RAW.exec(own(ended.stdout))?.[0], `${what} stdout ${JSON.stringify(ended.stdout.slice(0, 600))}`).toBeUndefined();
        expect(RAW.exec(own(ended.stderr))?.[0], `${what} stderr ${JSON.stringify(ended.stderr.slice(0, 600))}`).toBeUndefined();
      }
    }
    const { stdout } = await runInProcess(['run', 'org/fake', 'hi'], { directory: home.directory, terminal: true });
    expect(stdout).toContain('end');
  }, 120_000);
});
