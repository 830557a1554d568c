import { randomBytes } from 'node:crypto';
import type { AnswerPart, ResponseEvent, ResponseOutputItem, ResponseReply, TokenLogprob } from '../../../contract/index.ts';
import type { HearthError } from '../../../core/index.ts';
import type { Answer } from '../../answer.ts';
import { answerSteps, type FinishEvent, type UsageEvent } from '../answer-steps.ts';
import type { Frame } from '../frame.ts';

/** The response as it is before its first event, without what the answer decides. */
export type ResponseShell = Omit<
  ResponseReply,
  'id' | 'object' | 'created_at' | 'completed_at' | 'status' | 'incomplete_details' | 'model' | 'output' | 'error' | 'usage'
>;

/** Events of one response; their numbers go on from one function to the other. */
export interface ResponseEncoder {
  /** From `response.created` to `response.completed` or `response.incomplete`; throws HearthError where it cannot be completed. */
  frames(answer: Answer): AsyncGenerator<Frame<ResponseEvent>, void>;
  /** What ends a stream that failed: the error, and the response as failed when it had begun. */
  failure(error: HearthError): readonly ResponseEvent[];
  /** The whole response: of a JSON answer after all frames were read. */
  reply(): ResponseReply;
}

interface OpenItem {
  readonly index: number;
  readonly item: ResponseOutputItem;
}

type Item<T extends ResponseOutputItem['type']> = Extract<ResponseOutputItem, { type: T }>;

const newId = (prefix: string): string => `${prefix}_${randomBytes(16).toString('hex')}`;
const nowSeconds = (): number => Math.floor(Date.now() / 1000);

/** `shell` is asked when the answer is there: the target decides a part of it. `onEnd` gets the response before its last event goes out. */
export function createResponseEncoder(shell: () => ResponseShell, onEnd: (reply: ResponseReply) => void = () => {}): ResponseEncoder {
  const id = newId('resp');
  const createdAt = nowSeconds();
  const output: ResponseOutputItem[] = [];
  const calls = new Map<number, OpenItem>();
  let speech: OpenItem | null = null;
  let sequence = 0;
  let model: string | null = null;
  let end: Pick<ResponseReply, 'completed_at' | 'status' | 'incomplete_details' | 'error' | 'usage'> = {
    completed_at: null,
    status: 'in_progress',
    incomplete_details: null,
    error: null,
    usage: null,
  };

  const event = (type: string, fields: object): ResponseEvent => ({ type, ...fields, sequence_number: sequence++ });
  const frame = (data: ResponseEvent): Frame<ResponseEvent> => ({ kind: 'data', event: data.type, data });
  const reply = (): ResponseReply => ({
    id,
    object: 'response',
    created_at: createdAt,
    ...shell(),
    ...end,
    model: model ?? '',
    output: structuredClone(output),
  });

  function begin<T extends ResponseOutputItem>(item: T): { readonly open: OpenItem; readonly added: ResponseEvent } {
    const open = { index: output.length, item };
    output.push(item);
    return { open, added: event('response.output_item.added', { output_index: open.index, item: structuredClone(item) }) };
  }

  /** Events that open the message or the reasoning part, and those that close what was open. */
  function* speak(kind: 'message' | 'reasoning'): Generator<ResponseEvent, OpenItem> {
    if (speech?.item.type === kind) return speech;
    yield* closeSpeech('completed');
    const item: Item<'message'> | Item<'reasoning'> =
      kind === 'message'
        ? { type: 'message', id: newId('msg'), status: 'in_progress', role: 'assistant', content: [] }
        : { type: 'reasoning', id: newId('rs'), status: 'in_progress', summary: [] };
    const { open, added } = begin(item);
    yield added;
    speech = open;
    const place = { item_id: item.id, output_index: open.index };
    if (item.type === 'message') {
      item.content.push({ type: 'output_text', text: '', annotations: [], logprobs: [] });
      yield event('response.content_part.added', { ...place, content_index: 0, part: structuredClone(item.content[0]) });
    } else {
      item.summary.push({ type: 'summary_text', text: '' });
      yield event('response.reasoning_summary_part.added', { ...place, summary_index: 0, part: structuredClone(item.summary[0]) });
    }
    return open;
  }

  function* closeSpeech(status: 'completed' | 'incomplete'): Generator<ResponseEvent> {
    if (speech === null) return;
    const { index, item } = speech;
    const place = { item_id: item.id, output_index: index };
    speech = null;
    item.status = status;
    if (item.type === 'message') {
      const part = item.content[0]!;
      yield event('response.output_text.done', { ...place, content_index: 0, text: part.text, logprobs: part.logprobs });
      yield event('response.content_part.done', { ...place, content_index: 0, part: structuredClone(part) });
    } else if (item.type === 'reasoning') {
      const part = item.summary[0]!;
      yield event('response.reasoning_summary_text.done', { ...place, summary_index: 0, text: part.text });
      yield event('response.reasoning_summary_part.done', { ...place, summary_index: 0, part: structuredClone(part) });
    }
    yield event('response.output_item.done', { output_index: index, item: structuredClone(item) });
  }

  function* closeCall(toolIndex: number, status: 'completed' | 'incomplete'): Generator<ResponseEvent> {
    const call = calls.get(toolIndex);
    calls.delete(toolIndex);
    if (call?.item.type !== 'function_call') return;
    const { index, item } = call;
    item.status = status;
    yield event('response.function_call_arguments.done', { item_id: item.id, output_index: index, name: item.name, arguments: item.arguments });
    yield event('response.output_item.done', { output_index: index, item: structuredClone(item) });
  }

  function* addPart(part: AnswerPart): Generator<ResponseEvent> {
    if (part.kind === 'tool-start') {
      yield* closeSpeech('completed');
      const item: Item<'function_call'> = { type: 'function_call', id: newId('fc'), status: 'in_progress', call_id: part.id, name: part.name, arguments: '' };
      const { open, added } = begin(item);
      calls.set(part.toolIndex, open);
      yield added;
    } else if (part.kind === 'tool-delta') {
      const call = calls.get(part.toolIndex);
      if (call?.item.type !== 'function_call') return;
      call.item.arguments += part.argumentsJson;
      yield event('response.function_call_arguments.delta', { item_id: call.item.id, output_index: call.index, delta: part.argumentsJson });
    } else if (part.kind === 'tool-end') yield* closeCall(part.toolIndex, 'completed');
    else {
      const { index, item } = yield* speak(part.kind === 'text-delta' ? 'message' : 'reasoning');
      const place = { item_id: item.id, output_index: index };
      if (item.type === 'message' && part.kind === 'text-delta') {
        const logprobs = (part.logprobs ?? []).map(wireLogprob);
        item.content[0]!.text += part.text;
        item.content[0]!.logprobs.push(...logprobs);
        yield event('response.output_text.delta', { ...place, content_index: 0, delta: part.text, logprobs });
      } else if (item.type === 'reasoning') {
        item.summary[0]!.text += part.text;
        yield event('response.reasoning_summary_text.delta', { ...place, summary_index: 0, delta: part.text });
      }
    }
  }

  function* finishWith({ reason }: FinishEvent, usage: UsageEvent): Generator<ResponseEvent> {
    const status = reason === 'length' || reason === 'content_filter' ? 'incomplete' : 'completed';
    // An answer without a word is a message without text: clients look for one.
    if (output.every(({ type }) => type === 'reasoning')) yield* speak('message');
    yield* closeSpeech(status);
    for (const toolIndex of [...calls.keys()]) yield* closeCall(toolIndex, status);
    end = {
      completed_at: status === 'completed' ? nowSeconds() : null,
      status,
      incomplete_details: status === 'completed' ? null : { reason: reason === 'length' ? 'max_output_tokens' : 'content_filter' },
      error: null,
      usage: wireUsage(usage),
    };
    const done = reply();
    onEnd(done);
    yield event(`response.${status}`, { response: done });
  }

  return {
    reply,

    async *frames(answer) {
      for await (const step of answerSteps(answer, 1)) {
        if (step.kind === 'progress') yield { kind: 'comment', text: `prefill ${step.doneTokens}/${step.totalTokens}` };
        if (step.kind === 'progress' || step.kind === 'start') continue;
        if (model === null) {
          // Held back until now: only content commits the answer.
          model = answer.source.model;
          yield frame(event('response.created', { response: reply() }));
          yield frame(event('response.in_progress', { response: reply() }));
        }
        for (const data of step.kind === 'part' ? addPart(step.part) : finishWith(step.finish, step.usage!)) yield frame(data);
      }
    },

    failure(error) {
      const { param } = error.details;
      const told = event('error', { code: error.code, message: error.message, param: typeof param === 'string' ? param : null });
      if (model === null) return [told];
      for (const item of output) if (item.status === 'in_progress') item.status = 'incomplete';
      // The published codes of a failed response are few; the error event has ours.
      end = { ...end, status: 'failed', error: { code: error.code === 'rate_limit_exceeded' ? error.code : 'server_error', message: error.message } };
      return [told, event('response.failed', { response: reply() })];
    },
  };
}

const wireLogprob = ({ token, logprob, bytes, top }: TokenLogprob) => ({
  token,
  logprob,
  bytes: [...bytes],
  top_logprobs: top.map((other) => ({ token: other.token, logprob: other.logprob, bytes: [...other.bytes] })),
});

const wireUsage = ({ promptTokens, cachedTokens, completionTokens, reasoningTokens }: UsageEvent) => ({
  input_tokens: promptTokens,
  input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
  output_tokens: completionTokens,
  output_tokens_details: { reasoning_tokens: reasoningTokens },
  total_tokens: promptTokens + completionTokens,
});
