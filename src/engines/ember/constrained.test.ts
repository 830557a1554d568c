import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, GREEDY, type RunningEngine, startEngine, temporaryDirectory, user } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import { violation } from '../../../test/support/json-schema-check.ts';
import type { GenerateEvent, GenerateRequest } from '../../contract/index.ts';
import { createEmberEngine } from './ember-engine.ts';

/** Hermes calls, and a reasoning part that the prompt opens when it is asked to. */
const TEMPLATE =
  "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ '<|im_start|>' + m['role'] + m['content'] }}{% if m.tool_calls %}{% for tool_call in m.tool_calls %}<tool_call>{{ tool_call.function | tojson }}</tool_call>{% endfor %}{% endif %}{{ '<|im_end|>' }}{% endfor %}{{ '<|im_start|>' }}{% if enable_thinking %}<think>{% endif %}";

const schema = {
  type: 'object',
  properties: {
    n: { type: 'string', minLength: 1, maxLength: 6 },
    r: { type: 'integer', minimum: 1, maximum: 40 },
    t: { type: 'array', items: { enum: ['a', 'b"', 'é'] }, maxItems: 2 },
    x: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/x' }] },
  },
  required: ['n', 'x'],
  additionalProperties: false,
  $defs: { x: { type: 'object', properties: { on: { type: 'boolean' } }, required: ['on'], additionalProperties: false } },
};
const HOT = { ...GREEDY, temperature: 1 };
const MESSAGES = user('hi')!;
/** Random weights would open a reasoning part now and then. */
const SILENT = { budgetTokens: 0 };
const tool = { name: 'look', parameters: schema };

describe('constrained answers of random weights', () => {
  const home = temporaryDirectory();
  let running: RunningEngine;
  beforeAll(async () => {
    const { facts } = makeGoldenModel(`${home.path}/model`, { chatTemplate: TEMPLATE, config: { max_position_embeddings: 2_048 } });
    const engine = createEmberEngine({ convertedDirectory: `${home.path}/converted` });
    running = await startEngine(engine, facts, { contextTokens: 16_384, parallelSequences: 32, threads: 1 });
  });
  afterAll(async () => {
    await running?.[Symbol.asyncDispose]();
    home[Symbol.dispose]();
  });

  const many = (count: number, more: (run: number) => Partial<GenerateRequest>): Promise<Answer[]> =>
    Promise.all(
      Array.from({ length: count }, (_, run) =>
        running.ask({ messages: MESSAGES, maxTokens: 400, reasoning: SILENT, sampling: { ...HOT, seed: run }, ...more(run) }),
      ),
    );
  const calls = ({ events }: Answer): { name: string; json: string; deltas: number }[] => {
    const list: { name: string; json: string; deltas: number }[] = [];
    for (const event of events) {
      if (event.kind === 'tool-start') list.push({ name: event.name, json: '', deltas: 0 });
      if (event.kind === 'tool-delta')
        Object.assign(list[event.toolIndex]!, { json: list[event.toolIndex]!.json + event.argumentsJson, deltas: list[event.toolIndex]!.deltas + 1 });
    }
    return list;
  };
  const reasoningOf = ({ events }: Answer): string => events.map((event) => (event.kind === 'reasoning-delta' ? event.text : '')).join('');

  test('[engines E26] [serving V23] 1,000 documents all fit their schema, and come as they are generated', async () => {
    const answers = await many(1_000, () => ({ format: { kind: 'json-schema', schema } }));
    for (const { text, finish, error } of answers) {
      expect(error).toBeUndefined();
      expect(finish?.reason, text).toBe('stop');
      expect(violation(schema, JSON.parse(text)), text).toBeNull();
    }
    expect(new Set(answers.map(({ text }) => text)).size).toBeGreaterThan(900);
    for (const { events } of answers.slice(0, 20)) expect(events.filter(({ kind }) => kind === 'text-delta').length).toBeGreaterThan(3);
  });

  test('[serving V22] at the engine: 1,000 documents behind a reasoning part fit their schema too, as the thousand without, and the budget is kept', async () => {
    const answers = await many(1_000, () => ({ format: { kind: 'json-schema', schema }, reasoning: { budgetTokens: 20 }, maxTokens: 480 }));
    for (const answer of answers) {
      expect(answer.finish?.reason).toBe('stop');
      expect(violation(schema, JSON.parse(answer.text)), answer.text).toBeNull();
      expect(answer.text).not.toContain('think>');
      // The budget, and the tokens of the closing mark that end the part.
      expect(answer.usage?.reasoningTokens).toBeLessThanOrEqual(20 + '\n</think>'.length);
    }
    expect(answers.some((answer) => reasoningOf(answer).length > 5)).toBe(true);
  });

  test('[serving V21] 1,000 forced calls have arguments that fit the schema of their tool', async () => {
    const answers = await many(1_000, () => ({ tools: { definitions: [tool], choice: { name: 'look' }, parallel: false } }));
    for (const answer of answers) {
      expect(answer.error).toBeUndefined();
      const [call, ...more] = calls(answer);
      expect(more).toEqual([]);
      expect(call?.name).toBe('look');
      expect(violation(schema, JSON.parse(call!.json)), call!.json).toBeNull();
      expect(answer.finish?.reason).toBe('tool_calls');
      expect(answer.text).toBe('');
    }
  });

  test('[serving V18] arguments of 200 bytes come in several deltas', async () => {
    const long = {
      name: 'write',
      parameters: { type: 'object', properties: { text: { type: 'string', pattern: '^[a-z]{200}$' } }, required: ['text'], additionalProperties: false },
    };
    const answer = await running.ask({
      messages: MESSAGES,
      maxTokens: 480,
      reasoning: SILENT,
      sampling: { ...HOT, seed: 1 },
      tools: { definitions: [long], choice: 'required', parallel: false },
    });
    expect(calls(answer)[0]!.deltas).toBeGreaterThanOrEqual(2);
    expect(JSON.parse(calls(answer)[0]!.json).text).toHaveLength(200);
  });

  test('[serving V25] a limit inside a document ends it as it stands, with length and nothing invented', async () => {
    const whole = await running.ask({
      messages: MESSAGES,
      maxTokens: 400,
      reasoning: SILENT,
      sampling: { ...HOT, seed: 3 },
      format: { kind: 'json-schema', schema },
    });
    const cut = await running.ask({
      messages: MESSAGES,
      maxTokens: 15,
      reasoning: SILENT,
      sampling: { ...HOT, seed: 3 },
      format: { kind: 'json-schema', schema },
    });
    expect(cut.finish).toMatchObject({ reason: 'length' });
    expect(whole.text.startsWith(cut.text)).toBe(true);
    expect(cut.text.length).toBeLessThan(whole.text.length);
    const call = await running.ask({
      messages: MESSAGES,
      maxTokens: 60,
      reasoning: SILENT,
      sampling: { ...HOT, seed: 3 },
      tools: { definitions: [tool], choice: 'required', parallel: true },
    });
    expect(call.finish?.reason).toBe('length');
  });

  test('[engines E26] text before a mark is free: an answer without calls is the one that is drawn without tools', async () => {
    // Control tokens and those that stand for no byte are no text: neither answer has them.
    const logitBias = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [248 + i, -100]));
    const ask = (more: Partial<GenerateRequest>): Promise<Answer> =>
      running.ask({ maxTokens: 120, reasoning: SILENT, sampling: { ...GREEDY, logitBias }, ...more });
    const tools = [{ type: 'function', function: { name: 'look', description: '', parameters: schema } }];
    for (const text of ['hi', 'once', '42']) {
      const messages = user(text)!;
      const free = await ask({ messages, templateArguments: { tools } });
      const lazy = await ask({ messages, tools: { definitions: [tool], choice: 'auto', parallel: true } });
      expect(lazy.usage).toEqual({ ...free.usage, cachedTokens: expect.any(Number) });
      expect(free.text.length).toBeGreaterThan(50);
      expect(lazy.text.trimEnd()).toBe(free.text.trimEnd());
    }
  });

  test('a grammar is kept, and one that this vocabulary or notation cannot keep is refused to its asker only', async () => {
    const ask = (text: string, more: Partial<GenerateRequest> = {}): Promise<Answer> =>
      running.ask({ messages: MESSAGES, maxTokens: 50, reasoning: SILENT, sampling: { ...HOT, seed: 2 }, format: { kind: 'grammar', text }, ...more });
    expect((await ask('root ::= "yes" | "no"')).text).toMatch(/^(yes|no)$/);
    expect((await ask('root ::= [a-c]{3} "é🌍"')).text).toMatch(/^[abc]{3}é🌍$/);
    expect((await ask('root ::= x')).error).toMatchObject({ code: 'invalid_value', param: 'grammar' });
    const biased = await ask('root ::= "a"', { sampling: { ...HOT, logitBias: {} } });
    expect(biased.text).toBe('a');
  });

  test('[engines E25] log probabilities are those of the raw logits, whatever temperature, bias and penalties say', async () => {
    const plain = await running.ask({ messages: MESSAGES, maxTokens: 6, logprobs: 20 });
    const scores = (events: readonly GenerateEvent[]) => events.flatMap((event) => (event.kind === 'text-delta' ? (event.logprobs ?? []) : []));
    const first = scores(plain.events)[0]!;
    // The row sums to one, and its head is ordered.
    const top = first.top.map(({ logprob }) => logprob);
    expect(top).toHaveLength(20);
    expect(top).toEqual([...top].sort((a, b) => b - a));
    expect(first.logprob).toBe(top[0]);
    const banned = first.id;
    const bent = await running.ask({
      messages: MESSAGES,
      maxTokens: 1,
      logprobs: 20,
      sampling: { ...HOT, temperature: 1.7, seed: 4, repetitionPenalty: 1.5, presencePenalty: 1, logitBias: { [banned]: -100, 65: 3 } },
    });
    const other = scores(bent.events)[0]!;
    expect(other.id).not.toBe(banned);
    for (const [i, { id, logprob }] of other.top.entries()) {
      expect(id).toBe(first.top[i]!.id);
      expect(logprob).toBeCloseTo(first.top[i]!.logprob, 4);
    }
    // A forced token, far down the list, is told with its raw value.
    const forced = await running.ask({ messages: MESSAGES, maxTokens: 1, logprobs: 0, sampling: { ...GREEDY, logitBias: { [first.top[19]!.id]: 100 } } });
    expect(scores(forced.events)[0]).toMatchObject({ id: first.top[19]!.id, top: [] });
    expect(scores(forced.events)[0]!.logprob).toBeCloseTo(first.top[19]!.logprob, 4);
  });

  test('reasoning that the prompt opens is told apart, counted, and closed at the budget', async () => {
    const answer = await running.ask({ messages: MESSAGES, maxTokens: 400, sampling: { ...HOT, seed: 12 }, reasoning: { budgetTokens: 30 } });
    expect(reasoningOf(answer).length).toBeGreaterThan(10);
    expect(answer.usage?.reasoningTokens).toBeGreaterThanOrEqual(30);
    expect(answer.usage?.reasoningTokens).toBeLessThanOrEqual(30 + '\n</think>'.length);
    expect(answer.text + reasoningOf(answer)).not.toContain('</think>');
    const off = await running.ask({ messages: MESSAGES, maxTokens: 20, sampling: { ...HOT, seed: 12 }, reasoning: { budgetTokens: 0 } });
    expect(reasoningOf(off)).toBe('');
  });
});
