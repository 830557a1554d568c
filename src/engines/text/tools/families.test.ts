import { describe, expect, test } from 'vitest';
import type { ToolDefinition } from '../../../contract/index.ts';
import { createAnswerText } from '../answer-text.ts';
import { TOOL_FAMILIES, toolFamilyOf } from './families.ts';

const tools: readonly ToolDefinition[] = [
  {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string' },
        days: { type: 'integer' },
        detail: { type: 'object' },
        metric: { type: 'boolean' },
        note: { type: ['string', 'null'] },
      },
      required: ['city'],
    },
  },
  { name: 'noop' },
];

interface Fixture {
  readonly family: string;
  readonly text: string;
  readonly content?: string;
  readonly calls: readonly (readonly [name: string, args: unknown])[];
}

const paris = { city: 'Paris "é" 🌍' };
const json = JSON.stringify(paris);
/** The documented forms of docs/spec/agents-training.md §1.6. */
const FIXTURES: readonly Fixture[] = [
  {
    family: 'json_tools',
    text: `Let me look.\n<tool_call>\n{"name": "get_weather", "arguments": ${json}}\n</tool_call>`,
    content: 'Let me look.',
    calls: [['get_weather', paris]],
  },
  {
    family: 'json_tools',
    text: `<tool_call>{"name":"get_weather","arguments":${json}}</tool_call>\n<tool_call>\n{"arguments": {}, "name": "noop"}\n</tool_call>\n`,
    calls: [
      ['get_weather', paris],
      ['noop', {}],
    ],
  },
  { family: 'json_tools', text: `<tool_call>{"name": "get_weather", "arguments": ${JSON.stringify(json)}}</tool_call>`, calls: [['get_weather', paris]] },
  { family: 'json_tools', text: '<tool_call>{"name": "noop"}</tool_call> done </tool', content: 'done </tool', calls: [['noop', {}]] },
  { family: 'llama3_json', text: `{"name": "get_weather", "parameters": ${json}}`, calls: [['get_weather', paris]] },
  {
    family: 'llama3_json',
    text: `<|python_tag|>{"name": "get_weather", "parameters": ${json}}; {"name": "noop", "parameters": {}}`,
    calls: [
      ['get_weather', paris],
      ['noop', {}],
    ],
  },
  { family: 'llama3_json', text: '{"name": "Ann", "age": 3}', content: '{"name": "Ann", "age": 3}', calls: [] },
  {
    family: 'mistral',
    text: `[TOOL_CALLS] [{"name": "get_weather", "arguments": ${json}}, {"name": "noop", "arguments": {}}]`,
    calls: [
      ['get_weather', paris],
      ['noop', {}],
    ],
  },
  {
    family: 'mistral',
    text: `ok [TOOL_CALLS]get_weather[ARGS]${json}[TOOL_CALLS]noop[CALL_ID]abc123XYZ[ARGS]{}`,
    content: 'ok',
    calls: [
      ['get_weather', paris],
      ['noop', {}],
    ],
  },
  { family: 'nemotron', text: `<TOOLCALL>[{"name": "get_weather", "arguments": ${json}}]</TOOLCALL>`, calls: [['get_weather', paris]] },
  { family: 'granite', text: `<|tool_call|>[{"name": "get_weather", "arguments": ${json}}]`, calls: [['get_weather', paris]] },
  {
    family: 'kimi_k2',
    text: `I will.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>${json}<|tool_call_end|><|tool_call_begin|>functions.noop:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>`,
    content: 'I will.',
    calls: [
      ['get_weather', paris],
      ['noop', {}],
    ],
  },
  {
    family: 'deepseek',
    text: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>${json}<｜tool▁call▁end｜><｜tool▁call▁begin｜>noop<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    calls: [
      ['get_weather', paris],
      ['noop', {}],
    ],
  },
  {
    family: 'deepseek',
    text: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n${json}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    calls: [['get_weather', paris]],
  },
  {
    family: 'qwen3_coder',
    text: '<tool_call>\n<function=get_weather>\n<parameter=city>\nNew\nYork <b>\n</parameter>\n<parameter=days>\n3\n</parameter>\n<parameter=detail>\n{"a": [1]}\n</parameter>\n</function>\n</tool_call>',
    calls: [['get_weather', { city: 'New\nYork <b>', days: 3, detail: { a: [1] } }]],
  },
  {
    family: 'minimax_m2',
    text: '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">07</parameter>\n<parameter name="metric">true</parameter>\n<parameter name="note">null</parameter>\n</invoke>\n<invoke name="noop">\n</invoke>\n</minimax:tool_call>',
    calls: [
      ['get_weather', { city: '07', metric: true, note: null }],
      ['noop', {}],
    ],
  },
  {
    family: 'glm47',
    text: '<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo & co</arg_value>\n<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n<tool_call>{"name": "noop", "arguments": {}}</tool_call>',
    calls: [
      ['get_weather', { city: 'Oslo & co', days: 2 }],
      ['noop', {}],
    ],
  },
  {
    family: 'longcat',
    text: '<longcat_tool_call>get_weather\n<longcat_arg_key>city</longcat_arg_key>\n<longcat_arg_value>Rome</longcat_arg_value>\n</longcat_tool_call>',
    calls: [['get_weather', { city: 'Rome' }]],
  },
  {
    family: 'gemma4',
    text: 'ok<|tool_call>call:get_weather{city:<|"|>Paris "é" 🌍<|"|>,days:3,detail:{a:[1,<|"|>}<|"|>]}}<tool_call|><|tool_call>call:noop{}<tool_call|>',
    content: 'ok',
    calls: [
      ['get_weather', { ...paris, days: 3, detail: { a: [1, '}'] } }],
      ['noop', {}],
    ],
  },
  {
    family: 'function_gemma',
    text: '<start_function_call>call:get_weather{city:<escape>Oslo, {x}<escape>,metric:true}<end_function_call>',
    calls: [['get_weather', { city: 'Oslo, {x}', metric: true }]],
  },
  {
    family: 'pythonic',
    text: '<|tool_call_start|>[get_weather(city="Paris \\"é\\" 🌍", days=2, metric=True, detail={\'a\': [1, None]}), noop()]<|tool_call_end|>',
    calls: [
      ['get_weather', { ...paris, days: 2, metric: true, detail: { a: [1, null] } }],
      ['noop', {}],
    ],
  },
  { family: 'harmony', text: `<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>${json}<|call|>`, calls: [['get_weather', paris]] },
  { family: 'harmony', text: `<|start|>assistant to=functions.get_weather<|channel|>commentary<|message|>${json}`, calls: [['get_weather', paris]] },
];

/** Reads a text that comes in the given pieces. */
function read(fixture: Fixture, pieces: readonly string[], constrained: boolean) {
  const family = TOOL_FAMILIES.find(({ id }) => id === fixture.family)!;
  let next = 0;
  const answer = createAnswerText({ push: () => pieces[next++]!, flush: () => '' }, [], { tools: { family, definitions: tools, constrained } });
  const parts = [...pieces.flatMap((_, i) => answer.push(i).parts), ...answer.flush().parts];
  const calls: { name: string; json: string; ended: boolean }[] = [];
  let content = '';
  for (const part of parts) {
    if (part.kind === 'text-delta') content += part.text;
    else if (part.kind === 'tool-start') calls.push({ name: part.name, json: '', ended: false });
    else if (part.kind === 'tool-delta') calls[part.toolIndex]!.json += part.argumentsJson;
    else if (part.kind === 'tool-end') calls[part.toolIndex]!.ended = true;
  }
  return { content, calls: calls.map(({ name, json: args, ended }) => [name, ended ? JSON.parse(args) : `open: ${args}`]), parts };
}

describe('tool call families', () => {
  for (const [i, fixture] of FIXTURES.entries())
    test(`[serving V27] ${fixture.family} ${i}: calls are read whole, and no markup is content, wherever the text is cut`, () => {
      const characters = Array.from(fixture.text);
      const cuts = [
        [fixture.text],
        characters,
        ...characters.slice(1).map((_, at) => [characters.slice(0, at + 1).join(''), characters.slice(at + 1).join('')]),
        ...[2, 3, 5, 7].map((size) =>
          Array.from({ length: Math.ceil(characters.length / size) }, (_, n) => characters.slice(n * size, (n + 1) * size).join('')),
        ),
      ];
      for (const pieces of cuts)
        for (const constrained of [false, true]) {
          const { content, calls } = read(fixture, pieces, constrained);
          expect({ content: content.trimEnd(), calls }, JSON.stringify(pieces)).toEqual({ content: fixture.content ?? '', calls: fixture.calls });
        }
    });

  test('each family of the fixtures has one, and each family has fixtures', () => {
    expect(new Set(FIXTURES.map(({ family }) => family))).toEqual(new Set(TOOL_FAMILIES.map(({ id }) => id)));
  });

  test('arguments come in several pieces as they are generated, and ids are distinct', () => {
    const { parts } = read(FIXTURES[1]!, Array.from(FIXTURES[1]!.text), true);
    expect(parts.filter(({ kind }) => kind === 'tool-delta').length).toBeGreaterThan(10);
    const ids = parts.flatMap((part) => (part.kind === 'tool-start' ? [part.id] : []));
    expect(ids.every((id) => /^call_[A-Za-z0-9]{24}$/.test(id))).toBe(true);
    expect(new Set(ids).size).toBe(2);
  });

  test('what cannot be read as a call stays text and is reported, never invented', () => {
    const family = TOOL_FAMILIES.find(({ id }) => id === 'json_tools')!;
    const text = 'x <tool_call>{"name": "noop", "arguments": {"a": nope}}</tool_call> y';
    let given = text;
    const answer = createAnswerText({ push: () => given, flush: () => '' }, [], { tools: { family, definitions: tools, constrained: false } });
    const parts = [...answer.push(0).parts, ...answer.flush().parts];
    given = '';
    expect(parts.map((part) => (part.kind === 'text-delta' ? part.text : part.kind)).join('')).toBe(text);
    expect(answer.invalidToolCalls).toMatchObject([{ name: 'noop', reason: expect.any(String) }]);
    expect(answer.calls).toBe(0);
  });

  test('families are found by name, alias and template, in the order of the probes', () => {
    expect(toolFamilyOf('', 'hermes')?.id).toBe('json_tools');
    expect(toolFamilyOf('… <tool_call>\n<function=example> …')?.id).toBe('qwen3_coder');
    expect(toolFamilyOf('{{ "<tool_call>" }} {{ tool_call.name }}')?.id).toBe('json_tools');
    expect(toolFamilyOf('<tool_call>{tool_call.name}<arg_key>')?.id).toBe('glm47');
    expect(toolFamilyOf('<|start_header_id|> {"name": function name, "parameters": …}')?.id).toBe('llama3_json');
    expect(toolFamilyOf('[TOOL_CALLS]')?.id).toBe('mistral');
    expect(toolFamilyOf('tools')).toBeNull();
  });
});
