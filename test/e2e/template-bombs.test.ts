import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createEmberEngine } from '../../src/engines/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { makeTempStore, type TempStore } from '../support/temp-store.ts';
import { installTinyModel, TINY_COMMIT } from '../support/tiny-model.ts';

/** Each is set off by the word that a message holds, so that the model loads and answers others. */
const BOMBS: Readonly<Record<string, string>> = {
  loop: '{% for a in range(3000) %}{% for b in range(3000) %}x{% endfor %}{% endfor %}',
  count: '{% for a in range(1000000000) %}x{% endfor %}',
  text: "{% set ns = namespace(x='0123456789') %}{% for a in range(24) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
  list: '{% set ns = namespace(x=[1]) %}{% for a in range(30) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x | length }}',
};
const TRAP = `${Object.entries(BOMBS)
  .map(([word, bomb]) => `{% if messages[0]['content'] == '${word}' %}${bomb}{% endif %}`)
  .join('')}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n`;
const DEEP = `{{ ${'('.repeat(20_000)}1${')'.repeat(20_000)} }}`;

let home: string;
let store: TempStore;
let server: HttpFixture;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'hearth-bombs-'));
  const engine = createEmberEngine({ convertedDirectory: join(home, 'converted') });
  store = await makeTempStore({ runtimeProbe: (facts) => engine.canRun(facts) });
  for (const [name, template] of [
    ['test/plain', null],
    ['test/trap', TRAP],
    ['test/deep', DEEP],
  ] as const) {
    await installTinyModel(store.root, name);
    const path = join(store.cacheDirectory, `models--${name.replace('/', '--')}`, 'snapshots', TINY_COMMIT, 'tokenizer_config.json');
    if (template !== null) await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), chat_template: template }));
  }
  server = await startHttp({}, { engines: [engine], store: store.store, models: createStoreModels(store.store), gateway: { contextTokens: 256 } });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await store?.[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

const ask = (model: string, content: string) =>
  server.openai.chat.completions.create({ model, messages: [{ role: 'user', content }], max_tokens: 2, temperature: 0 });
const problemOf = (model: string, content: string): Promise<{ status: number | undefined; code: unknown }> =>
  ask(model, content).then(
    () => ({ status: 200, code: null }),
    (error: unknown) => (error instanceof OpenAI.APIError ? { status: error.status, code: error.code } : { status: 0, code: String(error) }),
  );

describe('[security G24] templates that are made to stop the server', () => {
  test.each(Object.keys(BOMBS))('%s: an error that names the limit, and other requests are served meanwhile', async (word) => {
    await ask('test/plain', 'warm');
    await ask('test/trap', 'warm');
    const before = server.starts();
    let open = true;
    const bomb = problemOf('test/trap', word).finally(() => {
      open = false;
    });
    // What ends fast gives others no time to be counted: then they are served after it.
    let served = 0;
    do {
      await ask('test/plain', `hello ${served}`);
      const health = await fetch(new URL('/health', server.baseUrl));
      expect(health.status).toBe(200);
      served += 1;
    } while (open);
    expect(await bomb).toEqual({ status: 400, code: 'template_limit' });
    if (word === 'loop' || word === 'list') expect(served).toBeGreaterThan(1);
    // The child that rendered it lives, and answers.
    expect((await ask('test/trap', 'and now?')).choices).toHaveLength(1);
    expect(server.starts()).toBe(before);
  });

  test('20,000 nested parentheses: the model loads, each conversation is an error, and no other template takes the place of its own', async () => {
    expect(await problemOf('test/deep', 'hello')).toEqual({ status: 400, code: 'template_limit' });
    expect((await ask('test/plain', 'still there?')).choices).toHaveLength(1);
  });
});
