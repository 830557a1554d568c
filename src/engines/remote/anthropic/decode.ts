import type { FinishReason, GenerateEvent } from '../../../contract/index.ts';
import { isJsonObject } from '../../../core/index.ts';
import type { UpstreamUsage } from '../call.ts';
import { type AnswerDecoder, type Decoded, guessTokens } from '../decoded.ts';
import type { Faults } from '../faults.ts';
import { parse } from '../openai/decode.ts';

export interface AnthropicAnswer {
  readonly promptChars: number;
  readonly faults: Faults;
}

const STOPS: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  pause_turn: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool_calls',
  refusal: 'content_filter',
};

interface Block {
  readonly kind: 'text' | 'thinking' | 'tool' | 'other';
  readonly toolIndex: number;
  /** Input that came with the start. */
  readonly given: unknown;
  hasInput: boolean;
  open: boolean;
}

/** Answers of /v1/messages, streamed or whole (Anthropic API reference, "Messages" and "Streaming messages"). */
export function createAnthropicDecoder({ promptChars, faults }: AnthropicAnswer): AnswerDecoder {
  const blocks = new Map<number, Block>();
  const counts = { input: null as number | null, read: 0, created: 0, output: null as number | null };
  let model: string | null = null;
  let started = false;
  let stopped = false;
  let terminated = false;
  let calls = 0;
  let chars = 0;
  let reasoningChars = 0;
  let estimated = false;

  function readUsage(value: unknown): void {
    if (!isJsonObject(value)) return;
    const count = (key: string): number | null => (typeof value[key] === 'number' && value[key] >= 0 ? value[key] : null);
    counts.input = count('input_tokens') ?? counts.input;
    counts.read = count('cache_read_input_tokens') ?? counts.read;
    counts.created = count('cache_creation_input_tokens') ?? counts.created;
    counts.output = count('output_tokens') ?? counts.output;
  }

  function usage(): UpstreamUsage | null {
    if (counts.input === null || counts.output === null) return null;
    return {
      promptTokens: counts.input + counts.read + counts.created,
      cachedTokens: counts.read,
      completionTokens: counts.output,
      reasoningTokens: Math.min(counts.output, guessTokens(reasoningChars)),
      estimated,
    };
  }

  function start(message: unknown): GenerateEvent[] {
    if (started) throw faults.malformed('a second message_start');
    if (!isJsonObject(message)) throw faults.malformed('a message that is no object');
    started = true;
    if (typeof message['model'] === 'string') model = message['model'];
    readUsage(message['usage']);
    const known = counts.input === null ? guessTokens(promptChars) : counts.input + counts.read + counts.created;
    return [{ kind: 'start', promptTokens: known, cachedTokens: counts.read }];
  }

  function openBlock(index: number, content: unknown): GenerateEvent[] {
    if (!isJsonObject(content) || blocks.has(index)) throw faults.malformed(`the block ${index} opened wrongly`);
    const type = content['type'];
    const kind = type === 'text' ? 'text' : type === 'thinking' ? 'thinking' : type === 'tool_use' ? 'tool' : 'other';
    const block: Block = { kind, toolIndex: kind === 'tool' ? calls : -1, given: content['input'], hasInput: false, open: true };
    blocks.set(index, block);
    if (kind === 'tool') {
      const { id, name } = content;
      if (typeof name !== 'string' || name === '' || typeof id !== 'string') throw faults.malformed('a tool call without a name or id');
      calls += 1;
      return [{ kind: 'tool-start', choice: 0, toolIndex: block.toolIndex, id, name }];
    }
    return kind === 'text' ? say('text', content['text']) : kind === 'thinking' ? say('thinking', content['thinking']) : [];
  }

  function say(kind: 'text' | 'thinking', text: unknown): GenerateEvent[] {
    if (text !== undefined && typeof text !== 'string') throw faults.malformed('a text that is none');
    if (text === undefined || text === '') return [];
    chars += text.length;
    if (kind === 'thinking') reasoningChars += text.length;
    return [{ kind: kind === 'text' ? 'text-delta' : 'reasoning-delta', choice: 0, text }];
  }

  function input(block: Block, json: string): GenerateEvent[] {
    if (json === '') return [];
    block.hasInput = true;
    chars += json.length;
    return [{ kind: 'tool-delta', choice: 0, toolIndex: block.toolIndex, argumentsJson: json }];
  }

  function delta(block: Block, part: unknown): GenerateEvent[] {
    if (!isJsonObject(part)) throw faults.malformed('a delta that is no object');
    if (part['type'] === 'text_delta') return say('text', part['text'] ?? null);
    if (part['type'] === 'thinking_delta') return say('thinking', part['thinking'] ?? null);
    if (part['type'] !== 'input_json_delta' || block.kind !== 'tool') return [];
    if (typeof part['partial_json'] !== 'string') throw faults.malformed('input of a tool call that is no text');
    return input(block, part['partial_json']);
  }

  function closeBlock(block: Block): GenerateEvent[] {
    if (!block.open) return [];
    block.open = false;
    if (block.kind !== 'tool') return [];
    const rest = block.hasInput ? [] : input(block, JSON.stringify(isJsonObject(block.given) ? block.given : {}));
    return [...rest, { kind: 'tool-end', choice: 0, toolIndex: block.toolIndex }];
  }

  function stop(fields: Record<string, unknown>): GenerateEvent[] {
    const word = fields['stop_reason'];
    if (typeof word !== 'string') throw faults.malformed('a stop_reason that is no word');
    stopped = true;
    const ended = fields['stop_sequence'];
    const stopString = word === 'stop_sequence' && typeof ended === 'string' ? { stopString: ended } : {};
    return [...[...blocks.values()].flatMap(closeBlock), { kind: 'finish', choice: 0, reason: STOPS[word] ?? 'stop', ...stopString }];
  }

  function pushEvent(value: Record<string, unknown>): Decoded {
    const { type, index } = value;
    if (type === 'ping') return { kind: 'data', events: [] };
    if (type === 'message_start') return { kind: 'data', events: start(value['message']) };
    if (!started) throw faults.malformed(`${String(type).slice(0, 80)} before message_start`);
    if (type === 'message_stop') {
      checkWhole();
      terminated = true;
      return { kind: 'terminator', events: [] };
    }
    if (type === 'message_delta') {
      readUsage(value['usage']);
      const fields = isJsonObject(value['delta']) ? value['delta'] : {};
      if (fields['stop_reason'] === undefined || fields['stop_reason'] === null) return { kind: stopped ? 'surplus' : 'data', events: [] };
      return stopped ? { kind: 'surplus', events: [] } : { kind: 'data', events: stop(fields) };
    }
    if (typeof type !== 'string' || !type.startsWith('content_block_')) return { kind: 'data', events: [] };
    if (stopped) return { kind: 'surplus', events: [] };
    if (typeof index !== 'number') throw faults.malformed(`${type} without an index`);
    if (type === 'content_block_start') return { kind: 'data', events: openBlock(index, value['content_block']) };
    const block = blocks.get(index);
    if (block === undefined || !block.open) throw faults.malformed(`${type} for a block that is not open`);
    if (type === 'content_block_delta') return { kind: 'data', events: delta(block, value['delta']) };
    return { kind: 'data', events: closeBlock(block) };
  }

  function checkWhole(): void {
    if (!started) throw faults.empty();
    if (!stopped) throw faults.truncated('it ended without a stop_reason');
  }

  return {
    terminator: 'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    get terminated() {
      return terminated;
    },
    get model() {
      return model;
    },
    usage,
    push(name, data) {
      if (terminated) return { kind: 'surplus', events: [] };
      const value = parse(data, faults);
      if (!isJsonObject(value)) throw faults.malformed('an event that is no object');
      if (name === 'error' || value['type'] === 'error') throw faults.ofErrorBody(value);
      return pushEvent(value);
    },
    whole(value) {
      if (!isJsonObject(value)) throw faults.malformed('an answer that is no object');
      if (value['type'] === 'error' || isJsonObject(value['error'])) throw faults.ofErrorBody(value);
      const content = value['content'];
      if (!Array.isArray(content)) throw faults.malformed('an answer without content');
      const events = start(value);
      for (const [index, block] of content.entries()) {
        events.push(...openBlock(index, block), ...closeBlock(blocks.get(index)!));
      }
      if (value['stop_reason'] !== undefined && value['stop_reason'] !== null) events.push(...stop(value));
      return events;
    },
    finish() {
      checkWhole();
      const known = usage();
      const told = known ?? {
        promptTokens: counts.input ?? guessTokens(promptChars),
        cachedTokens: counts.read,
        completionTokens: counts.output ?? guessTokens(chars),
        reasoningTokens: guessTokens(reasoningChars),
      };
      estimated = known === null;
      counts.input ??= told.promptTokens;
      counts.output ??= told.completionTokens;
      const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = told;
      return [{ kind: 'usage', promptTokens, cachedTokens, completionTokens, reasoningTokens }, { kind: 'end' }];
    },
  };
}
