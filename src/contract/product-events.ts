/** How a request ended, for its metrics and its line in the access log (docs/spec/serving.md §7). */
export const REQUEST_OUTCOMES = [
  'ok',
  'client_cancel',
  'timeout',
  'client_error',
  'engine_error',
  'upstream_error',
  'rejected_auth',
  'rejected_limit',
  'rejected_overload',
  'rejected_memory',
  'slow_client',
] as const;
export type RequestOutcome = (typeof REQUEST_OUTCOMES)[number];

/** Why a loaded model went away. */
export const UNLOAD_REASONS = ['ttl', 'evicted', 'admin', 'pressure', 'crash'] as const;
export type UnloadReason = (typeof UNLOAD_REASONS)[number];

/** How scarce memory is (docs/spec/serving.md §5.2). */
export const MEMORY_LEVELS = ['normal', 'soft', 'hard'] as const;
export type MemoryLevel = (typeof MEMORY_LEVELS)[number];

/** One answer of the gateway inside a request. Times are milliseconds; `startMs` counts from the arrival of the request. */
export type AnswerObservation = {
  readonly model: string;
  readonly upstream: string;
  readonly responseId: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attempts: readonly { readonly upstream: string; readonly outcome: string; readonly startMs?: number; readonly endMs?: number }[];
  readonly timings: {
    readonly loadMs: number;
    readonly queueMs: number;
    readonly prefillMs: number;
    readonly decodeMs: number;
    readonly firstTokenMs: number;
  };
  readonly usage: {
    readonly promptTokens: number;
    readonly cachedTokens: number;
    readonly completionTokens: number;
    readonly reasoningTokens: number;
  } | null;
  /** Pieces of each kind that came. */
  readonly pieces: { readonly text: number; readonly reasoning: number; readonly tool: number };
  /** Between one piece and the next, in the order they came. */
  readonly gapsMs: readonly number[];
  readonly finishReasons: readonly string[];
  readonly request: {
    readonly maxTokens?: number;
    readonly temperature: number;
    readonly topP: number;
    readonly topK: number;
    readonly seed?: number;
    readonly stop: readonly string[];
    readonly choices: number;
    readonly stream: boolean;
  } | null;
  /** What was asked and answered, with secrets replaced: only where `telemetry.content` is on. */
  readonly content?: { readonly input: string; readonly output: string };
};

/** A request over HTTP that is over. Never holds a prompt, an answer or a secret, but in `answers[].content` where that was asked for. */
export type RequestEndEvent = {
  readonly kind: 'request-end';
  readonly requestId: string;
  readonly clientRequestId: string | null;
  /** Of the trace that the client began, or our own: 32 and 16 hexadecimal digits. */
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly sampled: boolean;
  readonly method: string;
  /** Path of the endpoint as it is declared; `none` for a path that leads nowhere. */
  readonly route: string;
  /** As it was asked for, without the query; cut to 200 characters. */
  readonly path: string;
  readonly scope: string;
  readonly keyId: string;
  /** Of a TCP client; null for the socket and the own process. */
  readonly remoteAddress: string | null;
  /** As the client's `Origin` says. */
  readonly origin: string | null;
  /** What its key may not do. */
  readonly refusedScope: string | null;
  readonly status: number;
  readonly outcome: RequestOutcome;
  /** Of the error; null without one. */
  readonly code: string | null;
  /** Configured or stored id; null where the request led to none. */
  readonly model: string | null;
  readonly upstream: string | null;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly answers: readonly AnswerObservation[];
};

/** What of a model was judged before its load; null where there is none, or nothing was hashed. */
export interface ModelContent {
  readonly rootDigest: string | null;
  readonly revision: string | null;
}

/**
 * What the product tells of itself while it works, through core's EventSink: metrics, traces, the access log and
 * GET /admin/v1/events are made from these. Values that become labels are configured or stored ids, or of a fixed list.
 */
export type ProductEvent =
  | RequestEndEvent
  | { readonly kind: 'request-start'; readonly requestId: string; readonly route: string; readonly method: string }
  | { readonly kind: 'model-load-start'; readonly model: string; readonly engine: string }
  | { readonly kind: 'model-load-end'; readonly model: string; readonly engine: string; readonly durationMs: number; readonly content?: ModelContent }
  | { readonly kind: 'model-load-error'; readonly model: string; readonly engine: string; readonly code: string }
  | { readonly kind: 'model-unload-end'; readonly model: string; readonly engine: string; readonly reason: UnloadReason; readonly content?: ModelContent }
  | { readonly kind: 'engine-restart'; readonly model: string; readonly reason: 'crash' | 'hung' | 'killed' }
  | { readonly kind: 'engine-kill'; readonly model: string; readonly reason: string; readonly limit: number; readonly value: number }
  | { readonly kind: 'memory-pressure'; readonly level: MemoryLevel; readonly usedBytes: number; readonly budgetBytes: number; readonly reason: string }
  | { readonly kind: 'prefix-cache-clear'; readonly model: string; readonly reason: 'admin' | 'pressure' }
  | { readonly kind: 'upstream-attempt'; readonly upstream: string; readonly model: string; readonly result: string; readonly durationMs: number }
  | { readonly kind: 'fallback'; readonly from: string; readonly to: string; readonly reason: string }
  | { readonly kind: 'upstream-violation'; readonly upstream: string; readonly violation: string }
  | { readonly kind: 'breaker-change'; readonly upstream: string; readonly model: string; readonly state: 'closed' | 'half-open' | 'open' }
  | { readonly kind: 'cost'; readonly upstream: string; readonly usd: number }
  | { readonly kind: 'security-event'; readonly type: string; readonly severity: string }
  | { readonly kind: 'model-verify'; readonly result: string; readonly durationMs: number }
  | { readonly kind: 'config-reload'; readonly ok: boolean; readonly problems: number };

/** An event with its place in the order of all events of this process. */
export interface NumberedProductEvent {
  readonly id: number;
  readonly atMs: number;
  readonly event: ProductEvent;
}
