import type { GenerateEvent } from '../../../contract/index.ts';
import { isJsonObject } from '../../../core/index.ts';
import type { UpstreamUsage } from '../call.ts';
import { type AnswerDecoder, type Decoded, guessTokens } from '../decoded.ts';
import type { Faults } from '../faults.ts';
import { parse } from '../openai/decode.ts';

/** Checks answers of /v1/responses, which only go through as they are: its events tell where content is, not what it means (OpenAI API reference, "Responses"). */
export function createResponsesDecoder({ promptChars, faults }: { readonly promptChars: number; readonly faults: Faults }): AnswerDecoder {
  let counts: UpstreamUsage | null = null;
  let model: string | null = null;
  let begun = false;
  let ended = false;
  let terminated = false;
  let chars = 0;

  function readResponse(response: unknown): void {
    if (!isJsonObject(response)) throw faults.malformed('a response that is no object');
    if (response['error'] !== undefined && response['error'] !== null) throw faults.ofErrorBody({ error: response['error'] });
    if (response['status'] === 'failed') throw faults.ofErrorBody({ message: 'the response failed' });
    if (typeof response['model'] === 'string') model = response['model'];
    const usage = response['usage'];
    if (!isJsonObject(usage)) return;
    const number = (value: unknown): number => (typeof value === 'number' ? value : 0);
    const detail = (key: string, field: string) => (isJsonObject(usage[key]) ? number(usage[key][field]) : 0);
    counts = {
      promptTokens: number(usage['input_tokens']),
      cachedTokens: detail('input_tokens_details', 'cached_tokens'),
      completionTokens: number(usage['output_tokens']),
      reasoningTokens: detail('output_tokens_details', 'reasoning_tokens'),
      estimated: false,
    };
  }

  const finished: GenerateEvent = { kind: 'finish', choice: 0, reason: 'stop' };

  function pushEvent(type: string, value: Record<string, unknown>): Decoded {
    if (ended) return { kind: 'surplus', events: [] };
    if (type === 'error') throw faults.ofErrorBody(isJsonObject(value['error']) ? value : { error: value });
    if (isJsonObject(value['response'])) readResponse(value['response']);
    begun = true;
    if (type === 'response.completed' || type === 'response.incomplete') {
      ended = true;
      return { kind: 'data', events: [finished] };
    }
    const delta = value['delta'];
    if (!type.endsWith('.delta') || typeof delta !== 'string') return { kind: 'data', events: [] };
    chars += delta.length;
    return { kind: 'data', events: [{ kind: 'text-delta', choice: 0, text: delta }] };
  }

  function checkWhole(): void {
    if (!begun) throw faults.empty();
    if (!ended) throw faults.truncated('it ended without response.completed');
  }

  return {
    terminator: 'data: [DONE]\n\n',
    get terminated() {
      return terminated;
    },
    get model() {
      return model;
    },
    usage: () => counts,
    push(name, data) {
      if (terminated) return { kind: 'surplus', events: [] };
      if (data.trim() === '[DONE]') {
        checkWhole();
        terminated = true;
        return { kind: 'terminator', events: [] };
      }
      const value = parse(data, faults);
      if (!isJsonObject(value)) throw faults.malformed('an event that is no object');
      const type = typeof value['type'] === 'string' ? value['type'] : (name ?? '');
      if (type === '') throw faults.malformed('an event without a type');
      return pushEvent(type, value);
    },
    whole(value) {
      readResponse(value);
      if (!Array.isArray((value as Record<string, unknown>)['output'])) throw faults.malformed('a response without output');
      begun = true;
      ended = true;
      return [finished];
    },
    finish() {
      checkWhole();
      counts ??= { promptTokens: guessTokens(promptChars), cachedTokens: 0, completionTokens: guessTokens(chars), reasoningTokens: 0, estimated: true };
      const { estimated: _, ...told } = counts;
      return [{ kind: 'usage', ...told }, { kind: 'end' }];
    },
  };
}
