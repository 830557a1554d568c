import { randomBytes } from 'node:crypto';
import type { AnswerObservation, RequestEndEvent } from '../../contract/index.ts';
import { GENAI_NAMES as NAMES, operationOf } from './genai-names.ts';

export type AttributeValue = string | number | boolean | readonly string[];

/** A finished span; times are milliseconds since the epoch. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client';
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly error: string | null;
  readonly events?: readonly { readonly name: string; readonly timeMs: number; readonly attributes: Readonly<Record<string, AttributeValue>> }[];
}

export interface SpanNaming {
  /** Without it the older name of the provider is told too, as backends of before know it. */
  readonly latest: boolean;
}

/** The spans of one request: gateway, and for each answer its operation with queue, load, prefill, decode and the attempts (docs/spec/serving.md §7). */
export function spansOf(event: RequestEndEvent, naming: SpanNaming): Span[] {
  const { traceId, spanId, parentSpanId, startedAtMs } = event;
  const root: Span = {
    traceId,
    spanId,
    parentSpanId,
    name: 'gateway',
    kind: 'server',
    startMs: startedAtMs,
    endMs: startedAtMs + event.durationMs,
    attributes: {
      'http.request.method': event.method,
      'http.route': event.route,
      'http.response.status_code': event.status,
      'hearth.request.id': event.requestId,
      'hearth.outcome': event.outcome,
      ...(event.code === null ? {} : { [NAMES.errorType]: event.code }),
    },
    error: event.outcome === 'ok' || event.outcome === 'client_cancel' ? null : (event.code ?? event.outcome),
  };
  return [root, ...event.answers.flatMap((answer) => answerSpans(event, answer, naming))];
}

function answerSpans(event: RequestEndEvent, answer: AnswerObservation, naming: SpanNaming): Span[] {
  const { traceId, startedAtMs, route } = event;
  const spanId = newSpanId();
  const { loadMs, queueMs, prefillMs, decodeMs } = answer.timings;
  const from = startedAtMs + answer.startMs;
  const operation = operationOf(route);
  const whole: Span = {
    traceId,
    spanId,
    parentSpanId: event.spanId,
    name: `${operation} ${answer.model}`,
    kind: 'client',
    startMs: from,
    endMs: startedAtMs + answer.endMs,
    attributes: answerAttributes(event, answer, operation, naming),
    error: event.outcome === 'ok' || event.outcome === 'client_cancel' ? null : (event.code ?? event.outcome),
    ...(answer.content === undefined
      ? {}
      : {
          events: [
            {
              name: 'gen_ai.client.inference.operation.details',
              timeMs: startedAtMs + answer.endMs,
              attributes: { [NAMES.inputMessages]: answer.content.input, [NAMES.outputMessages]: answer.content.output },
            },
          ],
        }),
  };
  const part = (name: string, startMs: number, lengthMs: number): Span => ({
    traceId,
    spanId: newSpanId(),
    parentSpanId: spanId,
    name,
    kind: 'internal',
    startMs,
    endMs: startMs + lengthMs,
    attributes: {},
    error: null,
  });
  const parts = [
    ...(loadMs > 0 ? [part('load', from, loadMs)] : []),
    part('queue', from + loadMs, queueMs),
    part('prefill', from + loadMs + queueMs, prefillMs),
    part('decode', from + loadMs + queueMs + prefillMs, decodeMs),
  ];
  const attempts = answer.attempts.map((attempt, index): Span => {
    const startMs = startedAtMs + (attempt.startMs ?? answer.startMs);
    const end = attempt.endMs ?? answer.endMs;
    return {
      ...part(`upstream ${attempt.upstream} attempt ${index + 1}`, startMs, Math.max(0, startedAtMs + end - startMs)),
      kind: 'client',
      attributes: { 'hearth.upstream': attempt.upstream, 'hearth.outcome': attempt.outcome },
      error: attempt.outcome === 'ok' ? null : attempt.outcome,
    };
  });
  return [whole, ...parts, ...attempts];
}

function answerAttributes(event: RequestEndEvent, answer: AnswerObservation, operation: string, { latest }: SpanNaming): Record<string, AttributeValue> {
  const { request, usage } = answer;
  return {
    [NAMES.operation]: operation,
    [NAMES.provider]: answer.upstream,
    ...(latest ? {} : { [NAMES.system]: answer.upstream }),
    [NAMES.requestModel]: answer.model,
    [NAMES.responseModel]: answer.model,
    [NAMES.responseId]: answer.responseId,
    [NAMES.responseFinishReasons]: answer.finishReasons,
    [NAMES.responseFirstChunk]: answer.timings.firstTokenMs / 1000,
    ...(request === null
      ? {}
      : {
          ...(request.maxTokens === undefined ? {} : { [NAMES.requestMaxTokens]: request.maxTokens }),
          [NAMES.requestTemperature]: request.temperature,
          [NAMES.requestTopP]: request.topP,
          [NAMES.requestTopK]: request.topK,
          ...(request.seed === undefined ? {} : { [NAMES.requestSeed]: request.seed }),
          // The strings themselves are text of the client; how many there are is not.
          ...(request.stop.length === 0 ? {} : { 'hearth.request.stop_sequences': request.stop.length }),
          [NAMES.requestStream]: request.stream,
          [NAMES.requestChoices]: request.choices,
        }),
    ...(usage === null
      ? {}
      : {
          [NAMES.inputTokens]: usage.promptTokens,
          [NAMES.outputTokens]: usage.completionTokens,
          [NAMES.cacheReadTokens]: usage.cachedTokens,
          [NAMES.reasoningTokens]: usage.reasoningTokens,
        }),
    ...(answer.content === undefined || request === null ? {} : { [NAMES.requestStop]: request.stop }),
    ...(event.code === null ? {} : { [NAMES.errorType]: event.code }),
  };
}

const newSpanId = (): string => randomBytes(8).toString('hex');
