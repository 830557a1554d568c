import { createHash, randomBytes } from 'node:crypto';
import type { AnswerPart, GenerateEvent, HearthExtension, Usage } from '../../../contract/index.ts';
import { type ErrorCode, isErrorCode } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import type { Generation } from '../../generation.ts';

/** What every chunk of one answer says alike. */
export interface AnswerHead {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

export function answerHead(prefix: 'chatcmpl' | 'cmpl', generation: Generation, nowMs = Date.now()): AnswerHead {
  const { model, engineId, report } = generation.loaded;
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([engineId, report.version, model.id, model.hash, report.device]))
    .digest('hex');
  return {
    id: `${prefix}-${randomBytes(16).toString('hex')}`,
    created: Math.floor(nowMs / 1000),
    model: model.id,
    system_fingerprint: `fp_${fingerprint.slice(0, 12)}`,
  };
}

type UsageEvent = Extract<GenerateEvent, { kind: 'usage' }>;

const wireUsage = (event: UsageEvent): Usage => ({
  prompt_tokens: event.promptTokens,
  completion_tokens: event.completionTokens,
  total_tokens: event.promptTokens + event.completionTokens,
  prompt_tokens_details: { cached_tokens: event.cachedTokens },
  completion_tokens_details: { reasoning_tokens: event.reasoningTokens },
});

function extensionOf(generation: Generation, usage: UsageEvent, { stopString, invalidToolCalls }: FinishEvent): HearthExtension {
  const { loaded } = generation;
  const timings = generation.timings();
  const computed = usage.promptTokens - usage.cachedTokens;
  return {
    ...(stopString === undefined ? {} : { stop_string: stopString }),
    ...(invalidToolCalls === undefined ? {} : { invalid_tool_calls: invalidToolCalls.map((call) => ({ ...call })) }),
    engine: loaded.engineId,
    model: { name: loaded.model.id, hash: loaded.model.hash },
    timings: {
      load_ms: round(timings.loadMs),
      queue_ms: round(timings.queueMs),
      prefill_ms: round(timings.prefillMs),
      decode_ms: round(timings.decodeMs),
      first_token_ms: round(timings.firstTokenMs),
      prompt_tokens_per_s: rate(computed, timings.prefillMs),
      // The first token belongs to prefill.
      tokens_per_s: rate(usage.completionTokens - 1, timings.decodeMs),
    },
  };
}

const round = (ms: number): number => Math.round(ms * 10) / 10;
const rate = (tokens: number, ms: number): number => (tokens > 0 && ms > 0 ? round((tokens * 1000) / ms) : 0);

function eventError(event: Extract<GenerateEvent, { kind: 'error' }>): HearthError {
  const code: ErrorCode = isErrorCode(event.code) ? event.code : 'engine_protocol';
  return new HearthError(code, event.message, event.param === undefined ? {} : { details: { param: event.param } });
}

/** One step of an answer, for the chunk encoder and the fold alike. */
export type AnswerStep =
  | { readonly kind: 'progress'; readonly doneTokens: number; readonly totalTokens: number }
  | { readonly kind: 'part'; readonly choice: number; readonly part: AnswerPart }
  | { readonly kind: 'finish'; readonly choice: number; readonly reason: FinishReason; readonly extension?: HearthExtension }
  | { readonly kind: 'usage'; readonly usage: Usage };
type FinishEvent = Extract<GenerateEvent, { kind: 'finish' }>;
type FinishReason = FinishEvent['reason'];

/**
 * The generation's events with the rules of answers applied: exactly one finish per choice, the last one held until the
 * counts are known, because the extension travels on it. Throws HearthError for an error and for an answer without its end.
 */
export async function* answerSteps(generation: Generation, choices: number): AsyncGenerator<AnswerStep, void> {
  const open = new Set(Array.from({ length: choices }, (_, choice) => choice));
  let held: FinishEvent | null = null;
  for await (const event of generation.events) {
    switch (event.kind) {
      case 'prefill-progress':
        yield { kind: 'progress', doneTokens: event.doneTokens, totalTokens: event.totalTokens };
        break;
      case 'text-delta':
      case 'reasoning-delta':
        if (open.has(event.choice) && event.text !== '') yield { kind: 'part', choice: event.choice, part: event };
        break;
      case 'tool-start':
      case 'tool-delta':
      case 'tool-end':
        if (open.has(event.choice)) yield { kind: 'part', choice: event.choice, part: event };
        break;
      case 'finish':
        if (!open.delete(event.choice)) break;
        if (open.size === 0) held = event;
        else yield { kind: 'finish', choice: event.choice, reason: event.reason };
        break;
      case 'usage':
        if (!held) throw new HearthError('engine_protocol', 'The engine counted an answer that it had not finished.');
        yield { kind: 'finish', choice: held.choice, reason: held.reason, extension: extensionOf(generation, event, held) };
        yield { kind: 'usage', usage: wireUsage(event) };
        held = null;
        break;
      case 'error':
        throw eventError(event);
      case 'end':
        if (open.size > 0 || held) throw new HearthError('engine_protocol', 'The engine ended an answer without finishing or counting it.');
        return;
      case 'start':
        break;
    }
  }
  throw new HearthError('engine_crashed', 'The engine ended the answer without finishing it.');
}
