import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

interface Answer {
  readonly response: string;
  readonly reasoning_content: string | null;
  readonly finish_reason: string;
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number };
}
interface TokenizerFile {
  readonly added_tokens: Record<string, unknown>[];
  readonly model: { readonly vocab: Record<string, number> };
}

const GREEDY = ['--temperature', '0', '--repetition-penalty', '1'];

let home: TestHome;
const run = (args: readonly string[], terminal = false) => runInProcess(['run', ...args, '--quiet'], { directory: home.directory, terminal });
const ask = async (args: readonly string[]): Promise<Answer> => {
  const { code, stdout } = await run([...args, '--json']);
  expect([code, code === 0 ? '' : stdout]).toEqual([0, '']);
  return (JSON.parse(stdout) as { data: Answer }).data;
};
/** A model at a path is loaded as it was first seen; who edits it says so. */
const accept = async (name: string) =>
  expect(await runInProcess(['trust', 'accept', `./${name}`, '--quiet'], { directory: home.directory })).toMatchObject({ code: 0 });
const edit = async (path: string, change: (value: Record<string, unknown>) => Record<string, unknown>) =>
  writeFile(path, JSON.stringify(change(JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>)));

beforeAll(async () => {
  home = await createTestHome();
});
afterAll(async () => {
  await home[Symbol.asyncDispose]();
});

/** The tiny model with a template that opens a block of reasoning, and a token of its own greedy answer renamed: it closes the block. */
async function writeReasoner(name: string, [opening, closing]: readonly [string, string]): Promise<{ reasoning: string; answer: string }> {
  const directory = join(home.directory, name);
  await writeTinyModel(directory);
  await edit(join(directory, 'tokenizer_config.json'), (config) => ({ ...config, chat_template: `{{ messages[0]['content'] }}${opening}` }));
  const path = join(directory, 'tokenizer.json');
  const file = JSON.parse(await readFile(path, 'utf8')) as TokenizerFile;
  const save = (vocab: Record<string, number>, marks: readonly string[]) => {
    const added = marks.map((content) => ({
      id: vocab[content],
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: false,
    }));
    return writeFile(path, JSON.stringify({ ...file, added_tokens: [...file.added_tokens, ...added], model: { ...file.model, vocab } }));
  };
  // Each token with a name of its own, so that the text tells the tokens.
  const nameOf = (token: string, id: number) => (id === 120 ? opening : 'hiHello'.includes(token) || token.startsWith('<|') ? token : `[${id}]`);
  const vocab = Object.fromEntries(Object.entries(file.model.vocab).map(([token, id]) => [nameOf(token, id), id]));
  await save(vocab, [opening]);
  const free = await ask([`./${name}`, ...GREEDY, '--max-tokens', '24', 'hi']);
  const tokens = `${free.reasoning_content ?? ''}${free.response}`.match(/\[\d+\]|[^[]/g)!;
  const close = tokens.findIndex((token, i) => i > 2 && token.startsWith('[') && tokens.indexOf(token) === i);
  expect(close).toBeGreaterThan(2);
  await save(Object.fromEntries(Object.entries(vocab).map(([token, id]) => [token === tokens[close] ? closing : token, id])), [opening, closing]);
  await accept(name);
  // After the block its closing mark is text like any other.
  const named = (part: readonly string[]) => part.map((token) => (token === tokens[close] ? closing : token)).join('');
  return { reasoning: named(tokens.slice(0, close)), answer: named(tokens.slice(close + 1)) };
}

describe('reasoning', () => {
  it('[store K89] [store K119] <think> stands under its own heading, is hidden with --no-reasoning in stream and batch, and is a field of its own in JSON', async () => {
    const { reasoning, answer } = await writeReasoner('thinker', ['<think>', '</think>']);
    const args = ['./thinker', ...GREEDY, '--max-tokens', '24', 'hi'];
    const asJson = await ask(args);
    expect([asJson.reasoning_content, asJson.response]).toEqual([reasoning, answer]);
    for (const terminal of [false, true]) {
      const shown = await run(args, terminal);
      expect(shown.stdout).toBe(`**[Reasoning]**\n\n${reasoning}\n\n---\n\n**[Answer]**\n\n${answer}\n`);
      const hidden = await run([...args, '--no-reasoning'], terminal);
      expect(hidden).toMatchObject({ code: 0, stdout: `${answer}\n` });
    }
    // The API tells it in a field of its own too, streamed and not.
    const server = home.start(['serve', '--json', '--port', '0']);
    const { data } = JSON.parse(await server.waitFor('stdout', /\n\}\n/)) as { data: { port: number } };
    await ask(args); // through the daemon, which knows the directory by its name from now on
    const post = (stream: boolean) =>
      fetch(`http://127.0.0.1:${data.port}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'thinker', messages: [{ role: 'user', content: 'hi' }], temperature: 0, repetition_penalty: 1, max_tokens: 24, stream }),
      });
    const { choices } = (await (await post(false)).json()) as { choices: { message: { content: string; reasoning_content: string } }[] };
    expect(choices[0]!.message).toMatchObject({ content: answer, reasoning_content: reasoning });
    const deltas = (await (await post(true)).text())
      .split('\n\n')
      .filter((event) => event.startsWith('data: {'))
      .map((event) => (JSON.parse(event.slice(6)) as { choices: { delta: Record<string, string> }[] }).choices[0]?.delta ?? {});
    const joined = (field: string) => deltas.map((delta) => delta[field] ?? '').join('');
    expect([joined('reasoning_content'), joined('content')]).toEqual([reasoning, answer]);
    server.child.kill('SIGTERM');
    await server.ended;
  });

  it('[store K89] <thinking> is hidden as well', async () => {
    const { answer } = await writeReasoner('muser', ['<thinking>', '</thinking>']);
    for (const terminal of [false, true]) {
      const hidden = await run(['./muser', ...GREEDY, '--max-tokens', '24', '--no-reasoning', 'hi'], terminal);
      expect(hidden).toMatchObject({ code: 0, stdout: `${answer}\n` });
    }
  });
});

describe('limits', () => {
  it('[store K90] the command line gives an answer the whole context, the server half of it, and an overlong prompt is refused', async () => {
    await writeTinyModel(join(home.directory, 'small'));
    await edit(join(home.directory, 'small', 'config.json'), (config) => ({ ...config, max_position_embeddings: 128 }));
    const whole = await ask(['./small', ...GREEDY, 'hi']);
    expect([whole.finish_reason, whole.usage.prompt_tokens + whole.usage.completion_tokens]).toEqual(['length', 128]);
    const long = await run(['./small', '--json', 'x'.repeat(200)]);
    expect([long.code, JSON.parse(long.stdout)]).toEqual([1, expect.objectContaining({ error: expect.objectContaining({ code: 'context_length_exceeded' }) })]);
    const server = home.start(['serve', '--json', '--port', '0']);
    const { data } = JSON.parse(await server.waitFor('stdout', /\n\}\n/)) as { data: { port: number } };
    await ask(['./small', ...GREEDY, '--max-tokens', '1', 'hi']);
    const response = await fetch(`http://127.0.0.1:${data.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'hi' }], temperature: 0 }),
    });
    const { usage } = (await response.json()) as { usage: { completion_tokens: number } };
    expect(usage.completion_tokens).toBe(64);
    server.child.kill('SIGTERM');
    await server.ended;
  });
});

describe('shapes of an answer', () => {
  it('--json-schema holds the answer to a schema, and --stop may be given several times', async () => {
    await writeTinyModel(join(home.directory, 'model'));
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'], additionalProperties: false };
    await writeFile(join(home.directory, 'schema.json'), JSON.stringify(schema));
    const { response } = await ask(['./model', ...GREEDY, '--json-schema', 'schema.json', '--max-tokens', '200', 'hi']);
    expect(Object.keys(JSON.parse(response) as object)).toEqual(['ok']);
    const free = await ask(['./model', ...GREEDY, '--max-tokens', '20', 'hi']);
    const [stop] = [free.response.slice(4, 6)];
    const stopped = await ask(['./model', ...GREEDY, '--max-tokens', '20', '--stop', 'never in it', '--stop', stop, 'hi']);
    expect([stopped.finish_reason, stopped.response]).toEqual(['stop', free.response.slice(0, free.response.indexOf(stop))]);
  });

  it('the same seed draws the same answer, --no-chat-template leaves the prompt as it is, --template-arg reaches the template', async () => {
    const drawn = (seed: string) => ask(['./model', '--temperature', '1', '--seed', seed, '--max-tokens', '20', 'hi']);
    expect((await drawn('7')).response).toBe((await drawn('7')).response);
    expect((await drawn('7')).response).not.toBe((await drawn('8')).response);
    expect((await ask(['./model', ...GREEDY, '--max-tokens', '1', '--no-chat-template', 'hello'])).usage.prompt_tokens).toBe(5);
    await edit(join(home.directory, 'model', 'tokenizer_config.json'), (config) => ({
      ...config,
      chat_template: "{{ messages[0]['content'] }}{% if loud %}!!{% endif %}",
    }));
    await accept('model');
    expect((await ask(['./model', ...GREEDY, '--max-tokens', '1', 'hello'])).usage.prompt_tokens).toBe(5);
    expect((await ask(['./model', ...GREEDY, '--max-tokens', '1', '--template-arg', 'loud=true', 'hello'])).usage.prompt_tokens).toBe(7);
  });
});
