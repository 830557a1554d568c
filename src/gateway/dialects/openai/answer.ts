import { createHash } from 'node:crypto';
import type { HearthExtension, Usage } from '../../../contract/index.ts';
import { pooledRandom } from '../../../core/index.ts';
import type { Answer } from '../../answer.ts';
import type { FinishEvent, UsageEvent } from '../answer-steps.ts';

/** What every chunk of one answer says alike. */
export interface AnswerHead {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

export function answerHead(prefix: 'chatcmpl' | 'cmpl', answer: Answer, nowMs = Date.now()): AnswerHead {
  return {
    id: `${prefix}-${pooledRandom(16).toString('hex')}`,
    created: Math.floor(nowMs / 1000),
    model: answer.source.model,
    system_fingerprint: fingerprintOf(answer.source),
  };
}

/** Made once for each model, engine and device. */
const fingerprints = new Map<string, string>();
const FINGERPRINTS = 1_000;

function fingerprintOf({ upstream, version, model, hash, device }: Answer['source']): string {
  const facts = JSON.stringify([upstream, version, model, hash, device]);
  let fingerprint = fingerprints.get(facts);
  if (fingerprint === undefined) {
    fingerprint = `fp_${createHash('sha256').update(facts).digest('hex').slice(0, 12)}`;
    if (fingerprints.size >= FINGERPRINTS) fingerprints.clear();
    fingerprints.set(facts, fingerprint);
  }
  return fingerprint;
}

export const wireUsage = (event: UsageEvent): Usage => ({
  prompt_tokens: event.promptTokens,
  completion_tokens: event.completionTokens,
  total_tokens: event.promptTokens + event.completionTokens,
  prompt_tokens_details: { cached_tokens: event.cachedTokens },
  completion_tokens_details: { reasoning_tokens: event.reasoningTokens },
});

/** What hearth adds to the last chunk and to the JSON answer (docs/spec/agents-training.md §1.3). */
export function extensionOf(answer: Answer, usage: UsageEvent, { stopString, invalidToolCalls }: FinishEvent): HearthExtension {
  const { source } = answer;
  const timings = answer.timings();
  const computed = usage.promptTokens - usage.cachedTokens;
  return {
    ...(stopString === undefined ? {} : { stop_string: stopString }),
    ...(invalidToolCalls === undefined ? {} : { invalid_tool_calls: invalidToolCalls.map((call) => ({ ...call })) }),
    engine: source.upstream,
    model: { name: source.model, hash: source.hash },
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
