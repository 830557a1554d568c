import { describe, expect, test } from 'vitest';
import { fakeCapabilities } from '../../../../test/support/fake-engine.ts';
import { type ChatRequest, chatRequest } from '../../../contract/index.ts';
import type { Target } from '../../answer.ts';
import type { GenerationConfig } from '../../generation-config.ts';
import { decodeChat } from './decode-chat.ts';

const DEFAULTS = { temperature: 0.7, topP: 0.9, repetitionPenalty: 1 };

const target = (generationConfig: GenerationConfig = {}, capabilities: Partial<Target['capabilities']> = {}): Target => ({
  id: 'org/m',
  upstream: 'fake',
  vocabularySize: 100,
  generationConfig,
  capabilities: { ...fakeCapabilities(100), ...capabilities },
});

const decode = (fields: Partial<ChatRequest>, to = target()) =>
  decodeChat(chatRequest.parse({ model: 'm', messages: [{ role: 'user', content: 'x' }], ...fields }), to, 'req_1', DEFAULTS);

const refusal = (fields: Partial<ChatRequest>, to = target()) => {
  try {
    decode(fields, to);
    return null;
  } catch (error) {
    const { code, details } = error as { code: string; details: { param: string } };
    return `${code} ${details.param}`;
  }
};

describe('decodeChat', () => {
  test('sampling comes from the request, else from the model, else from the defaults', () => {
    expect(decode({}).sampling).toMatchObject({ temperature: 0.7, topP: 0.9, topK: 0, minP: 0, repetitionPenalty: 1, repetitionContextSize: 20 });
    const model = target({ temperature: 0.2, topK: 20, repetitionPenalty: 1.05 });
    expect(decode({}, model).sampling).toMatchObject({ temperature: 0.2, topP: 0.9, topK: 20, repetitionPenalty: 1.05 });
    expect(decode({ temperature: 0, top_k: 0, top_p: 1 }, model).sampling).toMatchObject({ temperature: 0, topP: 1, topK: 0, repetitionPenalty: 1.05 });
    expect(decode({ temperature: null }, model).sampling.temperature).toBe(0.2);
    expect(decode({ seed: 7 }).sampling.seed).toBe(7);
    expect(decode({}).sampling).not.toHaveProperty('seed');
  });

  test('messages keep roles, names and parts; developer is system; null content of an assistant is empty', () => {
    const { messages } = decode({
      messages: [
        { role: 'developer', content: 'd' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
          name: 'me',
        },
        { role: 'assistant', content: null },
        { role: 'tool', content: 't', tool_call_id: 'call_1' },
      ],
    });
    expect(messages).toEqual([
      { role: 'system', content: [{ kind: 'text', text: 'd' }] },
      {
        role: 'user',
        content: [
          { kind: 'text', text: 'a' },
          { kind: 'text', text: 'b' },
        ],
        name: 'me',
      },
      { role: 'assistant', content: [] },
      { role: 'tool', content: [{ kind: 'text', text: 't' }], toolCallId: 'call_1' },
    ]);
  });

  test('max_tokens is left out where the request gives none, and stop is always a list', () => {
    expect(decode({})).not.toHaveProperty('maxTokens');
    expect(decode({ stop: 'a' }).stop).toEqual(['a']);
    expect(decode({ stop: null }).stop).toEqual([]);
    expect(decode({}).stopAtRoleMarks).toBe(true);
  });

  test('a hint that the engine lacks, and ids outside the vocabulary, are refused by name', () => {
    const here = { ...target({}, { seed: false }), model: {} as NonNullable<Target['model']> };
    expect(refusal({ seed: 1 }, here)).toBe('unsupported_parameter seed');
    // To an upstream it is only a hint.
    expect(decode({ seed: 1 }, target({}, { seed: false })).sampling).not.toHaveProperty('seed');
    expect(refusal({ logit_bias: { '1': 1 } }, target({}, { logitBias: false }))).toBe('unsupported_parameter logit_bias');
    expect(refusal({ logit_bias: { '99': -100, '0': 100 } })).toBeNull();
    for (const id of ['100', '-1', '01', 'x', '1.5']) expect(refusal({ logit_bias: { [id]: 1 } })).toBe('invalid_value logit_bias');
    expect(refusal({ logit_bias: Object.fromEntries(Array.from({ length: 301 }, (_, index) => [String(index), 1])) })).toBe('invalid_value logit_bias');
    expect(refusal({ n: 5 })).toBe('invalid_value n');
    expect(refusal({ n: 2 }, target({}, { maxChoices: 1 }))).toBe('invalid_value n');
  });

  test('an adapter is a name, with a scale of 0 to 2; where the engine has none it is refused', () => {
    const able = target({}, { adaptersPerRequest: true });
    expect(decode({ adapter: 'mine' }, able).adapter).toEqual({ name: 'mine', scale: 1 });
    expect(decode({ adapter: 'mine', adapter_scale: 0.5 }, able).adapter).toEqual({ name: 'mine', scale: 0.5 });
    expect(decode({ adapter: null }, able)).not.toHaveProperty('adapter');
    for (const name of ['../x', '/x', 'a/b', '', '.x', 'x'.repeat(65)]) expect(refusal({ adapter: name }, able)).toBe('invalid_value adapter');
    for (const scale of [-0.1, 2.1]) expect(refusal({ adapter: 'mine', adapter_scale: scale }, able)).toBe('invalid_value adapter_scale');
    expect(refusal({ adapter_scale: 1 }, able)).toBe('invalid_value adapter_scale');
    expect(refusal({ adapter: 'mine' })).toBe('unsupported_parameter adapter');
  });

  test('null and empty values of fields that are not supported equal absent ones', () => {
    expect(refusal({ tools: [], tool_choice: null, response_format: null, logprobs: null, grammar: null, n: null, adapter: null })).toBeNull();
    expect(refusal({ response_format: { type: 'text' }, tool_choice: 'none' })).toBeNull();
    expect(refusal({ response_format: { type: 'json_object' } })).toBe('unsupported_parameter response_format');
    expect(refusal({ tool_choice: 'required' })).toBe('invalid_value tool_choice');
  });
});
