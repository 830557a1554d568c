import type { FinishReason, GenerateEvent, TokenLogprob, TokenProbability } from '../../../contract/index.ts';
import { isJsonObject } from '../../../core/index.ts';
import type { UpstreamUsage } from '../call.ts';
import { type AnswerDecoder, type Decoded, guessTokens } from '../decoded.ts';
import type { WireDialect } from '../dialects.ts';
import type { Faults } from '../faults.ts';
import { createToolParts, type ToolParts } from './tool-parts.ts';

export interface OpenAiAnswer {
  /** Chat has messages and deltas, plain completions texts. */
  readonly api: 'chat' | 'completions';
  readonly choices: number;
  /** Length of the prompt in characters, for a guess where no counts come. */
  readonly promptChars: number;
  readonly stop: readonly string[];
  readonly dialect: WireDialect;
  readonly faults: Faults;
}

interface ChoiceState {
  readonly tools: ToolParts;
  finished: boolean;
}

const FINISHES: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool_calls',
  function_call: 'tool_calls',
  content_filter: 'content_filter',
};

/** Answers of /v1/chat/completions and /v1/completions, streamed or whole (OpenAI API reference, "Chat" and "Completions"). */
export function createOpenAiDecoder(answer: OpenAiAnswer): AnswerDecoder {
  const { faults, dialect } = answer;
  const states = new Map<number, ChoiceState>();
  let counts: UpstreamUsage | null = null;
  let model: string | null = null;
  let started = false;
  let terminated = false;
  let chars = 0;
  let reasoningChars = 0;

  const stateOf = (choice: number): ChoiceState => {
    const known = states.get(choice);
    if (known !== undefined) return known;
    const state: ChoiceState = { tools: createToolParts(choice, faults), finished: false };
    states.set(choice, state);
    return state;
  };

  /** Deltas and messages have the same fields. */
  function contentOf(choice: number, fields: Record<string, unknown>, logprobs: unknown): GenerateEvent[] {
    const state = stateOf(choice);
    const events: GenerateEvent[] = [];
    const reasoning = textOf(fields['reasoning_content'] ?? fields['reasoning'], 'reasoning');
    const text = textOf(fields['content'], 'content') + textOf(fields['refusal'], 'refusal');
    if (reasoning !== '') events.push({ kind: 'reasoning-delta', choice, text: reasoning });
    const tokens = decodeLogprobs(logprobs);
    if (text !== '' || tokens.length > 0) events.push({ kind: 'text-delta', choice, text, ...(tokens.length > 0 ? { logprobs: tokens } : {}) });
    const calls = fields['tool_calls'];
    if (calls !== undefined && calls !== null && !Array.isArray(calls)) throw faults.malformed('tool_calls that are no list');
    for (const [position, call] of (Array.isArray(calls) ? calls : []).entries()) events.push(...state.tools.push(call, position));
    reasoningChars += reasoning.length;
    chars += reasoning.length + text.length;
    for (const event of events) if (event.kind === 'tool-delta') chars += event.argumentsJson.length;
    return events;
  }

  function textOf(value: unknown, what: string): string {
    if (value === undefined || value === null) return '';
    if (typeof value === 'string') return value;
    throw faults.malformed(`${what} that is no text`);
  }

  /** Which stop string it was: vLLM says it beside the reason, another hearth in its extension. */
  function finishOf(choice: number, fields: Record<string, unknown>, outer: unknown): GenerateEvent[] {
    const state = stateOf(choice);
    const word = fields['finish_reason'];
    if (typeof word !== 'string') throw faults.malformed('a finish_reason that is no word');
    if (word === 'error') throw faults.ofErrorBody(fields['error'] ?? { message: 'the answer ended with an error' });
    if (word === 'abort') throw faults.truncated('it was aborted there');
    state.finished = true;
    const known = FINISHES[word] ?? 'stop';
    const stopped = fields['stop_reason'];
    const extension = isJsonObject(outer) ? outer : {};
    const stopString = [stopped, extension['stop_string']].find((word): word is string => typeof word === 'string' && answer.stop.includes(word));
    return [
      ...state.tools.close(),
      {
        kind: 'finish',
        choice,
        reason: known === 'stop' && state.tools.count > 0 ? 'tool_calls' : known,
        ...(stopString === undefined ? {} : { stopString }),
      },
    ];
  }

  function readHead(value: Record<string, unknown>): GenerateEvent[] {
    if (value['error'] !== undefined && value['error'] !== null && value['error'] !== false) throw faults.ofErrorBody(value);
    if (value['object'] === 'error' || (value['choices'] === undefined && value['detail'] !== undefined)) throw faults.ofErrorBody(value);
    if (typeof value['model'] === 'string') model ??= value['model'];
    if (isJsonObject(value['usage'])) counts = readUsage(value['usage']) ?? counts;
    const choices = value['choices'];
    if (choices === undefined || choices === null) {
      if (counts === null) throw faults.malformed('an event without choices');
    } else if (!Array.isArray(choices) || !choices.every(isJsonObject)) throw faults.malformed('choices that are no list of objects');
    if (started) return [];
    started = true;
    return [{ kind: 'start', promptTokens: counts?.promptTokens ?? guessTokens(answer.promptChars), cachedTokens: counts?.cachedTokens ?? 0 }];
  }

  function indexOf(choice: Record<string, unknown>, position: number): number {
    const index = choice['index'] ?? position;
    if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index >= Math.max(answer.choices, 1)) {
      throw faults.malformed(`a choice with the index ${JSON.stringify(index)}`);
    }
    return index;
  }

  const fieldsOf = (choice: Record<string, unknown>, key: 'delta' | 'message'): Record<string, unknown> => {
    if (answer.api === 'completions') return { content: choice['text'] };
    const fields = choice[key] ?? {};
    if (!isJsonObject(fields)) throw faults.malformed(`a ${key} that is no object`);
    return fields;
  };

  function pushChunk(chunk: Record<string, unknown>): Decoded {
    const events = readHead(chunk);
    const given = (chunk['choices'] ?? []) as Record<string, unknown>[];
    const kept: Record<string, unknown>[] = [];
    for (const [position, entry] of given.entries()) {
      const choice = indexOf(entry, position);
      const wasFinished = states.get(choice)?.finished === true;
      const fields = fieldsOf(entry, 'delta');
      const ends = entry['finish_reason'] !== undefined && entry['finish_reason'] !== null;
      if (wasFinished) {
        // A choice ends once, and nothing of it comes after.
        if (!ends && isHollow(fields)) kept.push(entry);
        continue;
      }
      kept.push(entry);
      stateOf(choice);
      events.push(...contentOf(choice, fields, entry['logprobs']));
      if (ends) events.push(...finishOf(choice, entry, chunk['hearth']));
    }
    if (kept.length === given.length) return { kind: 'data', events };
    if (kept.length === 0 && !isJsonObject(chunk['usage'])) return { kind: 'surplus', events };
    return { kind: 'rewritten', events, data: JSON.stringify({ ...chunk, choices: kept }) };
  }

  const usage = (): UpstreamUsage | null => counts;

  return {
    terminator: 'data: [DONE]\n\n',
    get terminated() {
      return terminated;
    },
    get model() {
      return model;
    },
    usage,
    push(name, data) {
      if (terminated) return { kind: 'surplus', events: [] };
      if (data.trim() === '[DONE]') {
        checkWhole();
        terminated = true;
        return { kind: 'terminator', events: [] };
      }
      const value = parse(data, faults);
      if (name === 'error') throw faults.ofErrorBody(value);
      if (!isJsonObject(value)) throw faults.malformed('an event that is no object');
      if (dialect.emptyChunkIsError && Object.keys(value).length === 0) throw faults.truncated('an empty event came in place of its end');
      return pushChunk(value);
    },
    whole(value) {
      if (!isJsonObject(value)) throw faults.malformed('an answer that is no object');
      const events = readHead(value);
      for (const [position, entry] of ((value['choices'] ?? []) as Record<string, unknown>[]).entries()) {
        const choice = indexOf(entry, position);
        if (states.get(choice)?.finished) throw faults.malformed(`the choice ${choice} twice`);
        const fields = fieldsOf(entry, 'message');
        if (answer.api === 'chat' && !isJsonObject(entry['message'])) throw faults.malformed('a choice without a message');
        if (answer.api === 'completions' && typeof entry['text'] !== 'string') throw faults.malformed('a choice without a text');
        events.push(...contentOf(choice, fields, entry['logprobs']));
        if (entry['finish_reason'] !== undefined && entry['finish_reason'] !== null) events.push(...finishOf(choice, entry, value['hearth']));
      }
      return events;
    },
    finish() {
      checkWhole();
      counts ??= {
        promptTokens: guessTokens(answer.promptChars),
        cachedTokens: 0,
        completionTokens: guessTokens(chars),
        reasoningTokens: guessTokens(reasoningChars),
        estimated: true,
      };
      const { estimated: _, ...told } = counts;
      return [{ kind: 'usage', ...told }, { kind: 'end' }];
    },
  };

  function checkWhole(): void {
    if (states.size === 0) throw faults.empty();
    const open = Array.from({ length: answer.choices }, (_, choice) => choice).filter((choice) => states.get(choice)?.finished !== true);
    if (open.length > 0) throw faults.truncated('it ended without a finish');
  }
}

/** A delta in which nothing is said. */
const isHollow = (fields: Record<string, unknown>): boolean =>
  ['content', 'reasoning_content', 'reasoning', 'refusal'].every((key) => fields[key] === undefined || fields[key] === null || fields[key] === '') &&
  (!Array.isArray(fields['tool_calls']) || fields['tool_calls'].length === 0);

export function parse(data: string, faults: Faults): unknown {
  try {
    return JSON.parse(data);
  } catch (error) {
    throw faults.malformed('an event that is no JSON', error);
  }
}

const count = (value: unknown): number | null => (typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : null);

function readUsage(usage: Record<string, unknown>): UpstreamUsage | null {
  const promptTokens = count(usage['prompt_tokens']);
  const completionTokens = count(usage['completion_tokens']);
  if (promptTokens === null) return null;
  const of = (key: string, field: string) => (isJsonObject(usage[key]) ? (count(usage[key][field]) ?? 0) : 0);
  return {
    promptTokens,
    cachedTokens: of('prompt_tokens_details', 'cached_tokens'),
    completionTokens: completionTokens ?? 0,
    reasoningTokens: of('completion_tokens_details', 'reasoning_tokens'),
    estimated: false,
  };
}

const encoder = new TextEncoder();

/** Ids of tokens are not on the wire. */
function probability(entry: Record<string, unknown>): TokenProbability {
  const token = typeof entry['token'] === 'string' ? entry['token'] : '';
  const bytes = Array.isArray(entry['bytes']) ? entry['bytes'].filter((byte) => typeof byte === 'number') : [...encoder.encode(token)];
  return { id: -1, token, bytes, logprob: typeof entry['logprob'] === 'number' ? entry['logprob'] : 0 };
}

/** Only the form of chat; other forms are left out. */
function decodeLogprobs(logprobs: unknown): TokenLogprob[] {
  const content = isJsonObject(logprobs) ? logprobs['content'] : undefined;
  if (!Array.isArray(content)) return [];
  return content.filter(isJsonObject).map((entry) => ({
    ...probability(entry),
    top: Array.isArray(entry['top_logprobs']) ? entry['top_logprobs'].filter(isJsonObject).map(probability) : [],
  }));
}
