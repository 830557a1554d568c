import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { GREEDY, request, startEngine, temporaryDirectory, user } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import type { GenerateEvent } from '../../contract/index.ts';
import { createMlxEngine, type Engine } from '../index.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const FAKE = join(import.meta.dirname, '../../../test/support/fake-mlx-worker.ts');
const { facts, eosId } = makeGoldenModel(join(home.path, 'model'));
cpSync(join(import.meta.dirname, '../../../test/reference/adapters/llama-q4-mlp/mlx'), join(home.path, 'adapters', 'mine'), { recursive: true });

/** mlx with a worker that needs no Python. */
function fakeMlx(): Engine {
  const engine = createMlxEngine({
    environments: { current: () => ({ python: process.execPath, readPaths: [], version: 'fake' }), verify: async () => {} },
    convertedDirectory: join(home.path, 'converted'),
    adaptersDirectory: join(home.path, 'adapters'),
  });
  return {
    ...engine,
    processSpec(model, options) {
      const spec = engine.processSpec(model, options)!;
      return { ...spec, args: [FAKE, ...spec.args.filter((each) => each.startsWith('--model-directory='))] };
    },
  };
}

test('[engines E36] with a worker that stands for Python: generates, batches, cancels and swaps adapters', async () => {
  await using running = await startEngine(fakeMlx(), facts, { contextTokens: 256 });
  const answers = await Promise.all(['abc', 'one two', 'xyz'].map((prompt) => running.ask({ prompt, maxTokens: prompt.length + 1 })));
  expect(answers.map(({ text }) => text)).toEqual(['abca', 'one twoo', 'xyzx']);
  expect(answers[0]?.usage).toEqual({ kind: 'usage', promptTokens: 3, cachedTokens: 0, completionTokens: 4, reasoningTokens: 0 });
  expect((await running.session.stats()).batchSizes.length).toBeGreaterThan(2);

  const stopped = await running.ask({ prompt: 'abcdef', maxTokens: 50, stop: ['def'], choices: 2 });
  expect([stopped.texts, stopped.finish]).toEqual([['abc', 'abc'], expect.objectContaining({ reason: 'stop', stopString: 'def' })]);
  expect((await running.ask({ tokens: [...(await running.session.tokenize({ text: 'ab', addSpecial: false, parseSpecial: false })), eosId] })).text).toBe('ab');

  await running.session.adapters.load('mine', 'mine');
  expect((await running.ask({ prompt: 'abc', maxTokens: 3, adapter: { name: 'mine', scale: 1 } })).text).toBe('cba');
  await running.session.adapters.unload('mine');
  expect((await running.ask({ prompt: 'abc', adapter: { name: 'mine', scale: 1 } })).error).toMatchObject({ code: 'adapter_not_found' });
  // Refused by the strict parser, before the worker is asked.
  await expect(running.session.adapters.load('x', 'nowhere')).rejects.toMatchObject({ code: 'adapter_not_found' });

  const abort = new AbortController();
  const events: GenerateEvent[] = [];
  for await (const event of running.session.generate(request({ prompt: 'x' }), abort.signal)) {
    events.push(event);
    if (event.kind === 'text-delta') abort.abort();
  }
  expect(events.at(-1)).toMatchObject({ kind: 'error', code: 'cancelled' });
  await expect.poll(async () => (await running.session.stats()).running).toBe(0);
});

test('a guided answer asks for each token, and ends where its grammar ends', async () => {
  await using running = await startEngine(fakeMlx(), facts, { contextTokens: 256 });
  const grammar = await running.ask({ format: { kind: 'grammar', text: 'root ::= "x" [0-9] "!"' }, maxTokens: 20 });
  expect(grammar.text).toMatch(/^x[0-9]!$/);
  expect(grammar.finish).toMatchObject({ reason: 'stop' });
  const cut = await running.ask({ format: { kind: 'grammar', text: 'root ::= "abcdef"' }, maxTokens: 3, sampling: GREEDY });
  expect([cut.text, cut.finish?.reason, cut.usage?.completionTokens]).toEqual(['abc', 'length', 3]);
  await expect.poll(async () => (await running.session.stats()).running).toBe(0);
});

test('templates and tokens are made here, not by the worker; what it cannot do is refused', async () => {
  await using running = await startEngine(fakeMlx(), facts, { contextTokens: 256 });
  expect(running.report).toMatchObject({ tools: false, warnings: [] });
  expect(await running.session.applyTemplate(user('Hello')!)).toBe('<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n');
  const ids = await running.session.tokenize({ text: 'Grüße', addSpecial: false, parseSpecial: false });
  expect(await running.session.detokenize(ids)).toBe('Grüße');
  await expect(running.session.embed(['x'])).rejects.toMatchObject({ code: 'not_implemented' });
  expect((await running.ask({ prompt: 'x'.repeat(300) })).error).toMatchObject({ code: 'context_length_exceeded' });
  await expect(startEngine(fakeMlx(), facts, { port: 1 })).rejects.toMatchObject({ code: 'engine_options_invalid' });
});
