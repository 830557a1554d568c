import { type ErrorCode, type GenerateEvent, type GenerateRequest, isErrorCode, type KeyPolicy } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import type { Capabilities, WireRequest } from '../engines/index.ts';
import type { GenerationConfig } from './generation-config.ts';
import type { ResolvedModel } from './model-source.ts';
import { following } from './taps.ts';

/** A model as a request sees it before it is asked: what it can do decides what is refused. */
export interface Target {
  /** What answers call it. */
  readonly id: string;
  /** Id of the engine that runs it, or name of the remote that has it. */
  readonly upstream: string;
  /** Absent for a model of a remote. */
  readonly model?: ResolvedModel;
  readonly capabilities: Capabilities;
  readonly generationConfig: GenerationConfig;
  /** Token ids are below it; null when nobody here knows. */
  readonly vocabularySize: number | null;
}

/** Who answers. */
export interface AnswerSource {
  /** What the answer calls its model. */
  readonly model: string;
  readonly hash: string | null;
  /** Id of the engine, or name of the remote. */
  readonly upstream: string;
  readonly version: string | null;
  readonly device: string | null;
}

/** Milliseconds, from the arrival of the request. */
export interface AnswerTimings {
  readonly loadMs: number;
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly firstTokenMs: number;
  /** Between one piece of the answer and the next, in order; absent where nobody measured. */
  readonly gapsMs?: readonly number[];
}

/** One try at a target: `ok`, or the code of what went wrong. */
export interface Attempt {
  readonly upstream: string;
  readonly outcome: string;
  /** Milliseconds from the arrival of the request; absent where nobody measured. */
  readonly startMs?: number;
  readonly endMs?: number;
}

/** An answer in canonical events: what encoders of every dialect read. */
export interface Answer {
  readonly source: AnswerSource;
  /** In their order, the one that answers last (docs/spec/serving.md §6.3). */
  readonly attempts: readonly Attempt[];
  /** Ends after `end` or `error`; never throws. */
  readonly events: AsyncIterable<GenerateEvent>;
  timings(): AnswerTimings;
  /** Tokens so far as the engine counted them; null before its count. */
  usage(): { readonly promptTokens: number; readonly cachedTokens: number; readonly completionTokens: number } | null;
  /**
   * The answer of an upstream that speaks the client's own API, checked, in its own bytes: they go out in place of `events`. A stream's
   * terminator is among them. Throws where the answer breaks off. Only for calls with `raw`.
   */
  readonly bytes?: { readonly status: number; readonly contentType: string; readonly body: AsyncIterable<Uint8Array> };
  /** Headers of the upstream that go back to the client, such as its rate limits. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** On whose behalf a request runs (docs/spec/serving.md §6.6). */
export interface Requester {
  /** Id of the API key; `local` where none was asked for, `owner` over the socket and in process. */
  readonly id: string;
  readonly policy: KeyPolicy;
}

/** What a route asks of the gateway. */
export interface AnswerCall {
  /** Name of the model as the request gives it. */
  readonly name: string;
  /** What the client says about where its request may go (`x-hearth-privacy: local`, `x-hearth-no-fallback: true`). */
  readonly wishes?: { readonly localOnly?: boolean; readonly noFallback?: boolean };
  /** The request as it came: upstreams that speak its API get it so, and may answer in `bytes`. */
  readonly raw?: WireRequest;
  /** Id of the request, where `raw` may go out without being decoded. */
  readonly requestId?: string;
  /** Headers of the client, names in lower case; an upstream gets those of them that docs/spec/serving.md §6.5 names. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How many hearths it came through already. */
  readonly hops?: number;
  /** Absent: the owner. Its id and priority decide the turn in a queue; `privacy: local-only` keeps the request on this machine. */
  readonly requester?: Requester;
  /** Called with the first request that was decoded, before it waits for anything: throws 429 when the requester's limits are reached. */
  readonly admit?: (request: GenerateRequest, target: Target) => Promise<void>;
  /** The request for one target; throws 400 naming the first field that this target cannot honour. */
  readonly decode: (target: Target) => GenerateRequest;
  /** true: the answer is given out from its first content on. false: only when it is complete, so that a broken one can still be replaced. */
  readonly stream: boolean;
  /** The request has its place: from now on only the engine is waited for. */
  readonly onAdmitted?: () => void;
  /** How far the evaluation of the prompt is, before the first content. */
  readonly onProgress?: (doneTokens: number, totalTokens: number) => void;
  readonly signal: AbortSignal;
}

/** The event as an error of the table. */
export function eventError(event: Extract<GenerateEvent, { kind: 'error' }>): HearthError {
  const code: ErrorCode = isErrorCode(event.code) ? event.code : 'engine_protocol';
  return new HearthError(code, event.message, event.param === undefined ? {} : { details: { param: event.param } });
}

/** Events that a client sees: from the first of them on, nothing may be replayed (docs/spec/serving.md §6.3). */
const commits = (event: GenerateEvent): boolean =>
  event.kind === 'text-delta' || event.kind === 'reasoning-delta' ? event.text !== '' : event.kind === 'tool-start' || event.kind === 'finish';

/** Reads up to the commit point, or to the end for a JSON answer; answers all events with those in front. Throws the error that comes before it. */
export async function untilCommit(events: AsyncGenerator<GenerateEvent, void>, { stream, onProgress }: AnswerCall): Promise<AsyncIterable<GenerateEvent>> {
  const held: GenerateEvent[] = [];
  for (;;) {
    const next = await events.next();
    if (next.done) throw new HearthError('engine_crashed', 'The engine ended the answer without finishing it.');
    const event = next.value;
    if (event.kind === 'error') {
      await events.return();
      throw eventError(event);
    }
    if (event.kind === 'prefill-progress') onProgress?.(event.doneTokens, event.totalTokens);
    else held.push(event);
    if (stream ? commits(event) : event.kind === 'end') break;
  }
  return following(held, events);
}
