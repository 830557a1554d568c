import type { GenerateEvent } from '../../contract/index.ts';
import { HearthError, isHearthError, isJsonObject } from '../../core/index.ts';
import type { RemoteAnswer, UpstreamCall, UpstreamTimeouts, WireApi } from './call.ts';
import { WIRE_DIALECTS, type WireDialect } from './dialects.ts';
import { UpstreamFault } from './fault.ts';
import { createFaults, type Faults } from './faults.ts';
import { requestHeaders, returnedHeaders } from './headers.ts';
import { type CallPlan, planCall, speaks } from './plan-call.ts';
import { parseBody, readBody } from './read-body.ts';
import { type AnswerPiece, readStream } from './read-stream.ts';
import { DEFAULT_TIMEOUTS, MAX_ANSWER_BYTES, MAX_EVENT_BYTES, type RemoteModel, type RemoteOptions } from './remote-options.ts';
import { type CallWatch, watchCall } from './wire/call-watch.ts';
import { createTransport, type Target, type Transport, targetOf, type WireResponse } from './wire/transport.ts';

/** A server that is asked over HTTP. */
export interface Remote extends Disposable {
  readonly name: string;
  readonly kind: RemoteOptions['kind'];
  readonly dialect: WireDialect;
  speaks(api: WireApi, path: string): boolean;
  /** One attempt. Throws UpstreamFault, or the signal's reason. */
  send(call: UpstreamCall, model: RemoteModel): Promise<RemoteAnswer>;
  /** A small JSON or text answer, such as a list or counters. Throws UpstreamFault. */
  fetch(
    path: string,
    options: { readonly signal: AbortSignal; readonly body?: unknown; readonly timeoutMs?: number },
  ): Promise<{ readonly type: string; readonly text: string }>;
}

/** Longest body of an error that is read. */
const MAX_ERROR_BYTES = 64 * 1024;
const MOST_HOPS = 3;

export function createRemote(options: RemoteOptions): Remote {
  const dialect: WireDialect = WIRE_DIALECTS[options.dialect ?? 'standard'];
  const faults = createFaults(options.name);
  const transport = createTransport();
  const base = options.baseUrl.replace(/\/+$/, '').replace(/\/v1$/, '');
  // Paths are few: those of the APIs, and what the configuration names.
  const targets = new Map<string, Target>();
  const at = (path: string): Target => {
    const target = targets.get(path) ?? targetOf(new URL(`${base}${path}`));
    targets.set(path, target);
    return target;
  };

  async function send(call: UpstreamCall, model: RemoteModel): Promise<RemoteAnswer> {
    call.signal.throwIfAborted();
    if (options.kind === 'peer' && (call.hops ?? 0) >= MOST_HOPS) throw tooManyHops(options.name);
    const plan = planCall(options, dialect, model, call, faults);
    const watch = watchCall({ ...DEFAULT_TIMEOUTS, ...options.timeouts, ...call.timeouts }, faults, call.signal);
    const reading: Reading = { options, dialect, faults, call, plan, watch };
    let held = false;
    try {
      const response = await connect(transport, at(plan.path), requestHeaders(options, dialect, call, plan.forAnthropic), reading);
      const answer = await readAnswer(response, reading);
      held = call.stream;
      return answer;
    } catch (error) {
      // A limit or the client ended the call: what the connection says of its end matters no more.
      throw watch.signal.aborted && !(error instanceof UpstreamFault) ? watch.signal.reason : error;
    } finally {
      if (!held) watch[Symbol.dispose]();
    }
  }

  return {
    name: options.name,
    kind: options.kind,
    dialect,
    speaks: (api, path) => speaks(options, dialect, api, path),
    send,
    async fetch(path, { signal, body, timeoutMs = 5_000 }) {
      const limits: UpstreamTimeouts = { connectMs: timeoutMs, firstTokenMs: timeoutMs, idleMs: timeoutMs, requestMs: timeoutMs };
      using watch = watchCall(limits, faults, signal);
      const bytes = body === undefined ? undefined : new TextEncoder().encode(JSON.stringify(body));
      const { accept: _, ...headers } = requestHeaders(options, dialect, { stream: false }, options.kind === 'anthropic');
      try {
        const response = await transport.send({
          method: bytes === undefined ? 'GET' : 'POST',
          target: at(path),
          headers,
          ...(bytes === undefined ? {} : { body: bytes }),
          signal: watch.signal,
        });
        const text = new TextDecoder().decode(await readBody(response, watch, faults, MAX_ANSWER_BYTES));
        if (response.status >= 300) throw faults.ofStatus(response.status, response.headers, text);
        return { type: response.headers['content-type'] ?? '', text };
      } catch (error) {
        if (isHearthError(error)) throw error;
        throw watch.signal.aborted ? watch.signal.reason : faults.unreachable(error);
      }
    },
    [Symbol.dispose]: () => transport.close(),
  };
}

interface Reading {
  readonly options: RemoteOptions;
  readonly dialect: WireDialect;
  readonly faults: Faults;
  readonly call: UpstreamCall;
  readonly plan: CallPlan;
  readonly watch: CallWatch;
}

async function connect(transport: Transport, target: Target, headers: Record<string, string>, { call, plan, watch, faults }: Reading): Promise<WireResponse> {
  watch.connecting();
  try {
    return await transport.send({
      method: 'POST',
      target,
      headers,
      body: plan.body,
      // The request is out; a JSON answer has only the limit of the whole call until it begins.
      onConnected: () => (call.stream ? watch.awaitingContent() : watch.received(true)),
      signal: watch.signal,
    });
  } catch (error) {
    if (watch.signal.aborted) throw watch.signal.reason;
    throw faults.unreachable(error);
  }
}

async function readAnswer(response: WireResponse, reading: Reading): Promise<RemoteAnswer> {
  const { options, dialect, faults, call, plan, watch } = reading;
  const maxBytes = options.maxAnswerBytes ?? MAX_ANSWER_BYTES;
  if (response.status < 200 || response.status >= 300) {
    const body = await readBody(response, watch, faults, MAX_ERROR_BYTES).catch((error: unknown) => {
      if (call.signal.aborted) throw call.signal.reason;
      if (error instanceof UpstreamFault && error.code === 'upstream_timeout') throw error;
      return new Uint8Array();
    });
    throw faults.ofStatus(dialect.statuses[response.status] ?? response.status, response.headers, new TextDecoder().decode(body));
  }
  const form = formOf(response.headers['content-type'], call.stream);
  if (form === null || (form === 'stream' && plan.decoder === null)) {
    response.destroy();
    throw faults.wrongType(response.headers['content-type'] ?? '');
  }
  if (form === 'stream') return await streamedAnswer(response, reading);
  const bytes = await readBody(response, watch, faults, maxBytes);
  return wholeAnswer(bytes, response, reading);
}

function formOf(contentType: string | undefined, stream: boolean): 'stream' | 'json' | null {
  const type = contentType?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (type === '') return stream ? 'stream' : 'json';
  if (type === 'text/event-stream') return 'stream';
  return type === 'application/json' || type.endsWith('+json') ? 'json' : null;
}

const shared = (response: WireResponse, { plan, watch }: Reading) => ({
  get model() {
    return plan.decoder?.model ?? null;
  },
  firstTokenMs: watch.elapsedMs(),
  usage: () => plan.decoder?.usage() ?? null,
  headers: returnedHeaders(response.headers),
});

async function streamedAnswer(response: WireResponse, reading: Reading): Promise<RemoteAnswer> {
  const { options, dialect, faults, call, plan, watch } = reading;
  const pieces = await readStream({
    response,
    decoder: plan.decoder!,
    watch,
    faults,
    maxEventBytes: options.maxEventBytes ?? MAX_EVENT_BYTES,
    progress: dialect.progress,
    onProgress: call.onProgress,
    onViolation: options.onViolation,
  });
  if (call.stream) {
    if (plan.passthrough)
      return { kind: 'bytes', status: 200, contentType: 'text/event-stream; charset=utf-8', body: bytesOf(pieces), ...shared(response, reading) };
    return { kind: 'events', events: eventsOf(pieces, call.signal), ...shared(response, reading) };
  }
  // A stream in place of a JSON answer: it is read to its end, and becomes one.
  options.onViolation?.('wrong-form');
  const events: GenerateEvent[] = [];
  for await (const piece of pieces) events.push(...piece.events);
  return { kind: 'events', events: listed(events), ...shared(response, reading) };
}

function wholeAnswer(bytes: Uint8Array, response: WireResponse, reading: Reading): RemoteAnswer {
  const { options, faults, call, plan } = reading;
  const value = parseBody(bytes, faults);
  const { decoder } = plan;
  if (decoder === null) return plainAnswer(value, bytes, response, reading);
  const events = [...decoder.whole(value), ...decoder.finish()];
  if (call.stream) options.onViolation?.('wrong-form');
  if (!plan.passthrough || call.stream) return { kind: 'events', events: listed(events), ...shared(response, reading) };
  return { kind: 'bytes', status: 200, contentType: 'application/json', body: listed([bytes]), ...shared(response, reading) };
}

/** Vectors, scores, counts: one JSON object that is no error. */
function plainAnswer(value: unknown, bytes: Uint8Array, response: WireResponse, { faults, plan }: Reading): RemoteAnswer {
  if (!isJsonObject(value)) throw faults.malformed('an answer that is no object');
  if (value['error'] !== undefined && value['error'] !== null) throw faults.ofErrorBody(value);
  const body = plan.repair === undefined ? bytes : new TextEncoder().encode(JSON.stringify(plan.repair(value)));
  const { usage } = value;
  const prompt = isJsonObject(usage) ? (usage['prompt_tokens'] ?? usage['total_tokens'] ?? usage['input_tokens']) : null;
  const told = typeof prompt === 'number' ? { promptTokens: prompt, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0, estimated: false } : null;
  return {
    kind: 'bytes',
    status: response.status,
    contentType: 'application/json',
    body: listed([body]),
    model: typeof value['model'] === 'string' ? value['model'] : null,
    firstTokenMs: 0,
    usage: () => told,
    headers: returnedHeaders(response.headers),
  };
}

async function* listed<T>(items: readonly T[]): AsyncGenerator<T, void> {
  yield* items;
}

async function* bytesOf(pieces: AsyncGenerator<AnswerPiece, void>): AsyncGenerator<Uint8Array, void> {
  for await (const { bytes } of pieces) if (bytes.byteLength > 0) yield bytes;
}

/** A fault behind the commit point is the last event. */
async function* eventsOf(pieces: AsyncGenerator<AnswerPiece, void>, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
  try {
    for await (const { events } of pieces) yield* events;
  } catch (error) {
    const told = isHearthError(error) ? error : signal.aborted ? new HearthError('cancelled', 'The request was cancelled.') : null;
    if (told === null) throw error;
    const { param } = told.details;
    yield { kind: 'error', code: told.code, message: told.message, ...(typeof param === 'string' ? { param } : {}) };
  }
}

const tooManyHops = (name: string): UpstreamFault =>
  new UpstreamFault(
    'invalid_value',
    `The request came through ${MOST_HOPS} servers already and does not go on to ${name}.`,
    { fallback: false, countsForBreaker: false },
    { details: { param: 'x-hearth-hops' } },
  );
