import type {
  AnthropicContentBlock,
  AnthropicDelta,
  AnthropicStopReason,
  AnthropicUsage,
  MessagesEvent,
  MessagesReply,
  MessagesRequest,
} from '../../../contract/index.ts';
import type { Answer } from '../../answer.ts';
import { newAnswerId } from '../answer-ids.ts';
import type { FinishEvent, StartEvent, UsageEvent } from '../answer-steps.ts';
import type { Frame } from '../frame.ts';
import { answerBlocks, type OpenBlock } from './answer-blocks.ts';
import { readIncompleteObject } from './incomplete-json.ts';

/** What of the request the answer depends on. */
export interface MessageEncoding {
  /** The client's own: other strings that end an answer are no stop sequences to it. */
  readonly stops: readonly string[];
  /** The body marks what is to be cached: known tokens are counted apart (docs/spec/serving.md §2.3 item 10). */
  readonly countsCache: boolean;
  readonly showThinking: boolean;
}

export const messageEncoding = (body: MessagesRequest): MessageEncoding => ({
  stops: body.stop_sequences ?? [],
  countsCache: marksCache(body),
  showThinking: body.thinking?.['display'] !== 'omitted',
});

/** Whether `cache_control` stands anywhere where the API takes it. */
function marksCache(body: MessagesRequest): boolean {
  const marked = (value: unknown): boolean => {
    if (Array.isArray(value)) return value.some(marked);
    if (typeof value !== 'object' || value === null) return false;
    const { cache_control: mark, content } = value as { cache_control?: unknown; content?: unknown };
    return (typeof mark === 'object' && mark !== null) || (Array.isArray(content) && content.some(marked));
  };
  return marked(body['cache_control'] === undefined ? {} : body) || marked(body.system) || marked(body.tools) || marked(body.messages);
}

/** Events of a stream (docs/spec/serving.md §2.3); throws HearthError where the stream has to end with an error. */
export async function* encodeMessageStream(answer: Answer, encoding: MessageEncoding): AsyncGenerator<Frame<MessagesEvent>, void> {
  const event = (data: MessagesEvent): Frame<MessagesEvent> => ({ kind: 'data', event: data.type, data });
  let start: StartEvent | null = null;
  let begun = false;
  const kinds: OpenBlock['kind'][] = [];
  for await (const step of answerBlocks(answer, encoding)) {
    if (step.kind === 'start') {
      start = step;
      continue;
    }
    if (step.kind === 'progress') {
      yield { kind: 'comment', text: `prefill ${step.doneTokens}/${step.totalTokens}` };
      continue;
    }
    if (!begun) {
      begun = true;
      const counts = start ?? { promptTokens: 0, cachedTokens: 0 };
      yield event({ type: 'message_start', message: emptyMessage(answer, usageOf({ ...counts, completionTokens: 0, reasoningTokens: 0 }, encoding)) });
    }
    if (step.kind === 'open') {
      kinds[step.index] = step.block.kind;
      yield event({ type: 'content_block_start', index: step.index, content_block: emptyBlock(step.block) });
    } else if (step.kind === 'delta') {
      yield event({ type: 'content_block_delta', index: step.index, delta: deltaOf(kinds[step.index]!, step.text) });
    } else if (step.kind === 'close') {
      const { index, signature } = step;
      if (signature !== undefined) yield event({ type: 'content_block_delta', index, delta: { type: 'signature_delta', signature } });
      yield event({ type: 'content_block_stop', index });
    } else if (step.usage) {
      yield event({ type: 'message_delta', delta: stopOf(step.finish, encoding), usage: usageOf(step.usage, encoding) });
      yield event({ type: 'message_stop' });
    }
  }
}

/** The JSON answer: a fold of the same blocks, so that both forms agree. */
export async function foldMessage(answer: Answer, encoding: MessageEncoding): Promise<MessagesReply> {
  const content: AnthropicContentBlock[] = [];
  const inputs = new Map<number, string>();
  let ending: Partial<MessagesReply> = {};
  for await (const step of answerBlocks(answer, encoding)) {
    if (step.kind === 'open') content.push(emptyBlock(step.block));
    else if (step.kind === 'delta') {
      const block = content[step.index]!;
      if (block.type === 'text') block.text += step.text;
      else if (block.type === 'thinking') block.thinking += step.text;
      else inputs.set(step.index, (inputs.get(step.index) ?? '') + step.text);
    } else if (step.kind === 'close') {
      const block = content[step.index]!;
      if (block.type === 'thinking') block.signature = step.signature ?? '';
      else if (block.type === 'tool_use') block.input = readIncompleteObject(inputs.get(step.index) ?? '{}');
    } else if (step.kind === 'finish' && step.usage) ending = { ...stopOf(step.finish, encoding), usage: usageOf(step.usage, encoding) };
  }
  const empty = emptyMessage(answer, usageOf({ promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 }, encoding));
  return { ...empty, content, ...ending };
}

const emptyMessage = (answer: Answer, usage: AnthropicUsage): MessagesReply => ({
  id: newAnswerId('msg_'),
  type: 'message',
  role: 'assistant',
  model: answer.source.model,
  content: [],
  stop_reason: null,
  stop_sequence: null,
  stop_details: null,
  container: null,
  usage,
});

/** Clients add to what stands in the start of a block, so that every field is there and empty. */
function emptyBlock(block: OpenBlock): AnthropicContentBlock {
  switch (block.kind) {
    case 'text':
      return { type: 'text', text: '' };
    case 'thinking':
      return { type: 'thinking', thinking: '', signature: '' };
    case 'tool':
      return { type: 'tool_use', id: block.id, name: block.name, input: {} };
  }
}

function deltaOf(kind: OpenBlock['kind'], text: string): AnthropicDelta {
  switch (kind) {
    case 'text':
      return { type: 'text_delta', text };
    case 'thinking':
      return { type: 'thinking_delta', thinking: text };
    case 'tool':
      return { type: 'input_json_delta', partial_json: text };
  }
}

const REASONS: Readonly<Record<FinishEvent['reason'], AnthropicStopReason>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  content_filter: 'refusal',
};

function stopOf({ reason, stopString }: FinishEvent, { stops }: MessageEncoding) {
  const stopped = reason === 'stop' && stopString !== undefined && stops.includes(stopString);
  return { stop_reason: stopped ? ('stop_sequence' as const) : REASONS[reason], stop_sequence: stopped ? stopString : null, stop_details: null };
}

const usageOf = (
  { promptTokens, cachedTokens, completionTokens, reasoningTokens }: Omit<UsageEvent, 'kind'>,
  { countsCache }: MessageEncoding,
): AnthropicUsage => ({
  input_tokens: countsCache ? promptTokens - cachedTokens : promptTokens,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: countsCache ? cachedTokens : 0,
  output_tokens: completionTokens,
  output_tokens_details: { thinking_tokens: reasoningTokens },
});
