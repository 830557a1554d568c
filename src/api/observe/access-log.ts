import type { ProductEvent } from '../../contract/index.ts';
import type { Logger } from '../../core/index.ts';

/** One line for each request: ids, times and counts; never any text of a prompt or an answer (docs/spec/serving.md §7). */
export const accessLog =
  (logger: Logger): ((event: ProductEvent) => void) =>
  (event) => {
    if (event.kind !== 'request-end') return;
    const [answer] = event.answers;
    const round = Math.round;
    logger.info('request', {
      request_id: event.requestId,
      client_request_id: event.clientRequestId,
      trace_id: event.traceId,
      key_id: event.keyId,
      method: event.method,
      route: event.route,
      path: event.path,
      status: event.status,
      outcome: event.outcome,
      code: event.code,
      ms: round(event.durationMs),
      model: event.model,
      upstream: event.upstream,
      ...(answer
        ? {
            attempts: answer.attempts.map(({ upstream, outcome }) => `${upstream}=${outcome}`).join(','),
            load_ms: round(answer.timings.loadMs),
            queue_ms: round(answer.timings.queueMs),
            prefill_ms: round(answer.timings.prefillMs),
            decode_ms: round(answer.timings.decodeMs),
            first_token_ms: round(answer.timings.firstTokenMs),
            finish: answer.finishReasons.join(','),
          }
        : {}),
      ...(event.answers.some(({ usage }) => usage)
        ? {
            prompt_tokens: sum(event, 'promptTokens'),
            cached_tokens: sum(event, 'cachedTokens'),
            completion_tokens: sum(event, 'completionTokens'),
            reasoning_tokens: sum(event, 'reasoningTokens'),
          }
        : {}),
    });
  };

type Usage = NonNullable<Extract<ProductEvent, { kind: 'request-end' }>['answers'][number]['usage']>;

const sum = (event: Extract<ProductEvent, { kind: 'request-end' }>, field: keyof Usage): number =>
  event.answers.reduce((total, { usage }) => total + (usage?.[field] ?? 0), 0);
