import { describe, expect, test } from 'vitest';
import { violation } from '../../../../test/support/json-schema-check.ts';
import { compiled, randomNumbers, randomText, takes } from '../../../../test/support/random-text.ts';
import type { ToolUse } from '../../../contract/index.ts';
import { isHearthError } from '../../../core/index.ts';
import { createAnswerText } from '../answer-text.ts';
import { answerDialect, planAnswer } from './answer-plan.ts';

/** Templates with the marks by which families are told, and their forms. */
const TEMPLATES: Readonly<Record<string, string>> = {
  json_tools: '{{ tools }} <tool_call> tool_call.name',
  llama3_json: '{{ tools }} "parameters" <|start_header_id|>',
  mistral: '{{ tools }} [TOOL_CALLS] [ARGS]',
  mistral_list: '{{ tools }} [TOOL_CALLS]',
  nemotron: '{{ tools }} <TOOLCALL>',
  granite: '{{ tools }} <|tool_call|>',
  kimi_k2: '{{ tools }} <|tool_calls_section_begin|>',
  deepseek: '{{ tools }} <｜tool▁calls▁begin｜>',
  deepseek_fenced: '{{ tools }} <｜tool▁calls▁begin｜> ```json',
  qwen3_coder: '{{ tools }} <tool_call>\n<function=',
  minimax_m2: '{{ tools }} <minimax:tool_call>',
  glm47: '{{ tools }} <tool_call> <arg_key>',
  longcat: '{{ tools }} <longcat_tool_call>',
  gemma4: '{{ tools }} <|tool_call> <tool_call|>',
  function_gemma: '{{ tools }} <start_function_call>',
  pythonic: '{{ tools }} <|tool_list_start|>',
};
const parameters = {
  type: 'object',
  properties: {
    count: { type: 'integer', minimum: 1, maximum: 30 },
    kind: { enum: ['a', 'b c'] },
    on: { type: 'boolean' },
    where: { $ref: '#/$defs/place' },
  },
  required: ['count', 'where'],
  additionalProperties: false,
  $defs: { place: { type: 'object', properties: { x: { type: 'integer', minimum: -9, maximum: 9 } }, required: ['x'], additionalProperties: false } },
};
const use = (more: Partial<ToolUse> = {}): ToolUse => ({
  definitions: [
    { name: 'look', parameters },
    { name: 'stop', parameters: { type: 'object', properties: {}, additionalProperties: false } },
  ],
  choice: 'required',
  parallel: true,
  ...more,
});

/** What a text that the grammar allows is read as. */
function drawn(template: string, wishes: Parameters<typeof planAnswer>[1], seed: number, prompt = '') {
  const plan = planAnswer(answerDialect(template), wishes, prompt);
  const text = randomText(compiled(plan.grammar!), randomNumbers(seed));
  if (text === null) return null;
  const answer = createAnswerText({ push: () => text, flush: () => '' }, [], plan.reader);
  const parts = [...answer.push(0).parts, ...answer.flush().parts];
  const calls: { name: string; json: string }[] = [];
  let content = '';
  let reasoning = '';
  for (const part of parts) {
    if (part.kind === 'text-delta') content += part.text;
    else if (part.kind === 'reasoning-delta') reasoning += part.text;
    else if (part.kind === 'tool-start') calls.push({ name: part.name, json: '' });
    else if (part.kind === 'tool-delta') calls[part.toolIndex]!.json += part.argumentsJson;
  }
  return { text, content, reasoning, calls };
}

const refusal = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    if (isHearthError(error)) return { code: error.code, param: error.details?.['param'] };
    throw error;
  }
  return null;
};

describe('plans of answers', () => {
  for (const [name, template] of Object.entries(TEMPLATES))
    test(`${name}: what the grammar of forced calls allows is read as calls with arguments that fit their schema`, () => {
      let read = 0;
      for (let seed = 0; seed < 12; seed++) {
        const it = drawn(template, { tools: use() }, seed);
        if (it === null) continue;
        read++;
        expect(it.calls.length, it.text).toBeGreaterThan(0);
        expect(it.content).toBe('');
        for (const { name: tool, json } of it.calls) {
          expect(['look', 'stop']).toContain(tool);
          if (tool === 'look') expect(violation(parameters, JSON.parse(json)), it.text).toBeNull();
        }
      }
      expect(read).toBeGreaterThan(9);
    });

  test('one call at most where calls may not be parallel, only the named tool where one is named, none where none may be', () => {
    for (const template of Object.values(TEMPLATES))
      for (let seed = 0; seed < 6; seed++) {
        expect(drawn(template, { tools: use({ parallel: false }) }, seed)?.calls.length ?? 1).toBe(1);
        const named = drawn(template, { tools: use({ choice: { name: 'stop' } }) }, seed);
        expect(named?.calls.map(({ name }) => name) ?? ['stop']).toEqual(['stop']);
      }
    const none = planAnswer(answerDialect(TEMPLATES['json_tools']!), { tools: use({ choice: 'none' }) }, '');
    expect(none.reader.tools).toBeNull();
    const free = compiled(none.grammar!);
    expect(takes(free, 'text with < and <tool_cal')).toBe(true);
    expect(takes(free, 'text <tool_call>')).toBe(false);
  });

  test('a tool of many optional parameters keeps its grammar small, in every family', () => {
    const properties = Object.fromEntries(Array.from({ length: 24 }, (_, i) => [`p${i}`, { type: 'boolean' }]));
    const wide = { name: 'wide', parameters: { type: 'object', properties, additionalProperties: false } };
    for (const template of Object.values(TEMPLATES)) {
      const it = drawn(template, { tools: use({ definitions: [wide], parallel: false }) }, 3);
      expect(it?.calls).toHaveLength(1);
      expect(violation(wide.parameters, JSON.parse(it!.calls[0]!.json))).toBeNull();
    }
  });

  test('text is free until the mark of a call, and constrained behind it', () => {
    const auto = compiled(planAnswer(answerDialect(TEMPLATES['json_tools']!), { tools: use({ choice: 'auto' }) }, '').grammar!);
    expect(takes(auto, 'Any text { "name": <tool> \n')).toBe(true);
    expect(takes(auto, 'Look: <tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>')).toBe(true);
    expect(takes(auto, 'Look: <tool_call>\n{"name": "other", "arguments": {}}\n</tool_call>')).toBe(false);
    const llama = compiled(planAnswer(answerDialect(TEMPLATES['llama3_json']!), { tools: use({ choice: 'auto' }) }, '').grammar!);
    expect(takes(llama, '{"name": "stop", "parameters": {}}')).toBe(true);
    expect(takes(llama, 'It is {warm}.')).toBe(true);
  });

  test('with tools and a format the answer is calls or the document', () => {
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
    const both = compiled(
      planAnswer(answerDialect(TEMPLATES['json_tools']!), { tools: use({ choice: 'auto' }), format: { kind: 'json-schema', schema } }, '').grammar!,
    );
    expect(takes(both, '{"ok":true}')).toBe(true);
    expect(takes(both, '<tool_call>{"name":"stop","arguments":{}}</tool_call>')).toBe(true);
    expect(takes(both, 'no')).toBe(false);
  });

  test('a format begins behind the reasoning part, whether the model or the prompt opens it', () => {
    const template = '<think> {{ x }} </think>';
    const format = { kind: 'json-schema', schema: { const: [1] } } as const;
    const own = compiled(planAnswer(answerDialect(template), { format }, 'assistant\n').grammar!);
    expect(takes(own, '<think>\nwell < {} </thin\n</think>\n\n[1]')).toBe(true);
    expect(takes(own, '[1]')).toBe(true);
    expect(takes(own, '<think>[1]')).toBe(false);
    const opened = compiled(planAnswer(answerDialect(template), { format }, 'assistant\n<think>\n').grammar!);
    expect(takes(opened, 'hm</think>[1]')).toBe(true);
    expect(takes(opened, '[1]')).toBe(false);
    const off = compiled(planAnswer(answerDialect(template), { format, reasoning: { budgetTokens: 0 } }, 'assistant\n<think>\n\n</think>\n\n').grammar!);
    expect(takes(off, '<think></think>[1]')).toBe(false);
  });

  test('answers in channels: the reasoning first, then a document, text or one call', () => {
    const dialect = answerDialect('{{ tools }} <|channel|> <|message|>');
    const begin = '<|channel|>analysis<|message|>hm<|end|><|start|>assistant';
    const format = { kind: 'json-schema', schema: { const: [1] } } as const;
    const document = compiled(planAnswer(dialect, { format }, '').grammar!);
    for (const text of [`${begin}<|channel|>final<|message|>[1]`, '<|channel|>final<|message|>[1]']) expect(takes(document, text)).toBe(true);
    expect(takes(document, '[1]')).toBe(false);
    const call = '<|channel|>commentary to=functions.stop <|constrain|>json<|message|>{}';
    const auto = compiled(planAnswer(dialect, { tools: use({ choice: 'auto' }) }, '').grammar!);
    for (const text of [begin + call, `${begin}<|channel|>final<|message|>It is <b>.`]) expect(takes(auto, text)).toBe(true);
    const forced = compiled(planAnswer(dialect, { tools: use() }, '').grammar!);
    expect(takes(forced, begin + call)).toBe(true);
    expect(takes(forced, '<|channel|>final<|message|>x')).toBe(false);
  });

  test('tools are refused by models without a place for them, and choices and schemas that cannot be kept are', () => {
    expect(refusal(() => planAnswer(answerDialect('{{ messages }}'), { tools: use() }, ''))).toEqual({ code: 'unsupported_parameter', param: 'tools' });
    expect(refusal(() => planAnswer(answerDialect('{{ tools }}'), { tools: use() }, ''))).toEqual({ code: 'unsupported_parameter', param: 'tools' });
    expect(refusal(() => planAnswer(answerDialect(null), { tools: use() }, ''))).toEqual({ code: 'unsupported_parameter', param: 'tools' });
    const bad = use({ definitions: [{ name: 'x', parameters: { properties: { a: { type: 'string', contentEncoding: 'base64' } } } }] });
    expect(refusal(() => planAnswer(answerDialect(TEMPLATES['json_tools']!), { tools: bad }, ''))).toEqual({ code: 'invalid_json_schema', param: 'tools' });
  });
});
