import { expect, test } from 'vitest';
import { GREEDY_SAMPLING } from '../../contract/index.ts';
import { readToWorker } from './to-worker.ts';

const request = {
  requestId: 'r',
  messages: [{ role: 'user', content: [{ kind: 'text', text: 'Hello' }] }],
  stop: ['end'],
  sampling: { ...GREEDY_SAMPLING, logitBias: { 7: -100 } },
  choices: 1,
  tools: { definitions: [{ name: 'f', parameters: { type: 'object' } }], choice: { name: 'f' }, parallel: false },
  format: { kind: 'json-schema', schema: { type: 'object' } },
};

test('messages to a worker are taken as they are', () => {
  for (const message of [
    { kind: 'generate', sequence: 1, request },
    { kind: 'load', options: { contextTokens: 64 } },
    { kind: 'embed', id: 2, inputs: ['a', [1, 2]], pooling: 'mean' },
    { kind: 'generate', sequence: 1, request, credit: 256 },
    { kind: 'credit', sequence: 1, tokens: 64 },
    { kind: 'end-reasoning', id: 3, sequence: 1 },
    { kind: 'stop' },
  ])
    expect(readToWorker(message)).toBe(message);
});

test('a message with an unknown kind, an unknown key, or a value outside its range is refused', () => {
  const asked = (change: object) => ({ kind: 'generate', sequence: 1, request: { ...request, ...change } });
  for (const message of [
    null,
    [],
    { kind: 'constructor' },
    { kind: 'stop', more: 1 },
    { kind: 'cancel' },
    { kind: 'credit', sequence: 1, tokens: 0 },
    { kind: 'cancel', sequence: -1 },
    { kind: 'score', id: 1, tokens: [1] },
    { kind: 'threads', id: 1, threads: 0.5 },
    { kind: 'adapter-load', id: 1, name: '', directory: '/a' },
    asked({ url: 'x' }),
    asked({ logprobs: 21 }),
    asked({ stop: [''] }),
    asked({ sampling: { ...GREEDY_SAMPLING, topP: 0 } }),
    asked({ sampling: { ...GREEDY_SAMPLING, logitBias: { a: 1 } } }),
    asked({ messages: [{ role: 'root', content: [] }] }),
    asked({ tools: { ...request.tools, choice: 'some' } }),
    asked({ format: { kind: 'xml' } }),
    asked({ adapter: { name: 'a', scale: Number.NaN } }),
  ])
    expect(() => readToWorker(message)).toThrow(TypeError);
});
