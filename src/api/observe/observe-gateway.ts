import type { AnswerObservation, GenerateEvent, GenerateRequest } from '../../contract/index.ts';
import { type Clock, createLeakWatch, HearthError, NO_SECURITY_EVENTS, redact, type SecurityEventSink } from '../../core/index.ts';
import { type Answer, type AnswerCall, type Gateway, tapped } from '../../gateway/index.ts';
import { findRequest, type LiveRequest, type RequestTable } from './request-table.ts';

export interface ObserveOptions {
  readonly requests: RequestTable;
  readonly clock: Clock;
  /** Prompts and answers go into observations too, with secrets replaced. */
  readonly content: boolean;
  /** An answer holds a secret of this process, of this kind; it is cut there. */
  readonly onSecret?: (kind: string, live: LiveRequest) => void;
}

/** Of a prompt or an answer that is observed with its content. */
const CONTENT_CHARACTERS = 65_536;

/** The same gateway, each of whose answers writes into the table what became of it. */
export function observeGateway(gateway: Gateway, options: ObserveOptions): Gateway {
  const answer = async (call: AnswerCall): Promise<Answer> => {
    const startedAt = options.clock.monotonic();
    let live: LiveRequest | undefined;
    let asked: GenerateRequest | null = null;
    const given = await gateway.answer({
      ...call,
      decode(target) {
        asked = call.decode(target);
        live = findRequest(options.requests, asked.requestId);
        if (live) Object.assign(live, { model: target.id, upstream: target.upstream, phase: 'waiting' });
        return asked;
      },
      onAdmitted() {
        if (live) live.phase = 'prefill';
        call.onAdmitted?.();
      },
    });
    if (!live) return given;
    live.phase = 'answering';
    Object.assign(live, { model: given.source.model, upstream: given.source.upstream });
    const { promise, resolve } = Promise.withResolvers<void>();
    live.open.push(promise);
    const events = watched(given, { ...options, live, asked, startedAt, stream: call.stream, done: resolve });
    return Object.create(given, { events: { value: events, enumerable: true } }) as Answer;
  };
  return Object.create(gateway, { answer: { value: answer } }) as Gateway;
}

/** Writes down whose answer was cut, and what for. */
export const leakRecorder =
  (events: SecurityEventSink = NO_SECURITY_EVENTS): NonNullable<ObserveOptions['onSecret']> =>
  (reason, { id, keyId, remoteAddress, model }) =>
    events.record({
      event: 'secret.leak',
      outcome: 'denied',
      actor: { key: keyId, ...(remoteAddress === null ? {} : { ip: remoteAddress }) },
      ...(model === null ? {} : { model: { id: model } }),
      requestId: id,
      reason,
    });

function watched(
  answer: Answer,
  {
    live,
    asked,
    startedAt,
    stream,
    content,
    clock,
    onSecret,
    done,
  }: ObserveOptions & {
    readonly live: LiveRequest;
    readonly asked: GenerateRequest | null;
    readonly startedAt: number;
    readonly stream: boolean;
    readonly done: () => void;
  },
): AsyncIterable<GenerateEvent> {
  const pieces = { text: 0, reasoning: 0, tool: 0 };
  const finishReasons: string[] = [];
  const gapsMs: number[] = [];
  let usage: AnswerObservation['usage'] = null;
  let lastAt: number | null = null;
  let output = '';
  const leaks = { text: createLeakWatch(), reasoning: createLeakWatch(), tool: createLeakWatch() };
  return tapped(answer.events, {
    onItem(event) {
      const kind = PIECES[event.kind];
      if (kind !== undefined) {
        pieces[kind] += 1;
        live.pieces += 1;
        const said = 'text' in event ? event.text : 'argumentsJson' in event ? event.argumentsJson : '';
        const secret = leaks[kind](said);
        if (secret !== null) {
          onSecret?.(secret, live);
          throw new HearthError('secret_in_answer', 'The answer held a secret of this server and was cut before it.');
        }
        const now = clock.monotonic();
        if (lastAt !== null) gapsMs.push(now - lastAt);
        lastAt = now;
        if (content && output.length < CONTENT_CHARACTERS) output += said;
      } else if (event.kind === 'finish') finishReasons.push(event.reason);
      else if (event.kind === 'usage') usage = event;
    },
    onEnd() {
      const { gapsMs: measured, ...timings } = answer.timings();
      const startMs = startedAt - live.arrivedAt;
      live.answers.push({
        model: answer.source.model,
        upstream: answer.source.upstream,
        responseId: live.id,
        startMs,
        endMs: clock.monotonic() - live.arrivedAt,
        attempts: answer.attempts,
        timings: { ...timings, firstTokenMs: startMs + timings.firstTokenMs },
        usage: usage ?? withReasoning(answer.usage()),
        pieces,
        // A JSON answer is given out when it is whole: only its engine knows when its pieces came.
        gapsMs: measured ?? (stream ? gapsMs : []),
        finishReasons,
        request: asked === null ? null : requestFacts(asked, stream),
        ...(content && asked !== null ? { content: { input: cut(inputOf(asked)), output: cut(output) } } : {}),
      });
      done();
    },
  });
}

const PIECES: Readonly<Record<string, 'text' | 'reasoning' | 'tool'>> = {
  'text-delta': 'text',
  'reasoning-delta': 'reasoning',
  'tool-start': 'tool',
  'tool-delta': 'tool',
};

const withReasoning = (usage: ReturnType<Answer['usage']>): AnswerObservation['usage'] => (usage === null ? null : { reasoningTokens: 0, ...usage });

function requestFacts(request: GenerateRequest, stream: boolean): AnswerObservation['request'] {
  const { maxTokens, sampling, stop, choices } = request;
  return {
    ...(maxTokens === undefined ? {} : { maxTokens }),
    temperature: sampling.temperature,
    topP: sampling.topP,
    topK: sampling.topK,
    ...(sampling.seed === undefined ? {} : { seed: sampling.seed }),
    stop,
    choices,
    stream,
  };
}

const inputOf = ({ messages, prompt, tokens }: GenerateRequest): string =>
  messages
    ? JSON.stringify(messages.map(({ role, content }) => ({ role, content: content.map((part) => (part.kind === 'text' ? part.text : `[${part.kind}]`)) })))
    : (prompt ?? `${tokens?.length ?? 0} tokens`);

/** A secret that lies over the cut is seen whole before it. */
const cut = (text: string): string => redact(text.slice(0, CONTENT_CHARACTERS + 4096)).slice(0, CONTENT_CHARACTERS);
