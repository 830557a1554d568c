import type { ProductEvent, RequestEndEvent } from '../../contract/index.ts';
import { type Clock, type Fetch, type Logger, silentLogger, systemClock } from '../../core/index.ts';
import { createMetricsRegistry, type FamilySpec } from '../metrics/registry.ts';
import { GENAI_METRICS, GENAI_NAMES, operationOf } from './genai-names.ts';
import { metricsBody, type OtlpResource, tracesBody } from './otlp-json.ts';
import { type Span, spansOf } from './spans.ts';

export interface OtlpOptions {
  /** Base URL of a collector: `/v1/traces` and `/v1/metrics` are added. */
  readonly endpoint: string;
  readonly resource: OtlpResource;
  /** `gen_ai_latest_experimental` of OTEL_SEMCONV_STABILITY_OPT_IN: no older names beside the newest. */
  readonly latestNames?: boolean;
  readonly fetch?: Fetch;
  readonly logger?: Logger;
  readonly clock?: Clock;
  /** Between two batches; 5 s. */
  readonly intervalMs?: number;
}

export interface OtlpExporter extends AsyncDisposable {
  readonly listener: (event: ProductEvent) => void;
  /** Sends what waits; never throws. */
  flush(): Promise<void>;
}

const BATCH = 512;
/** What a collector that is away may miss: later spans are dropped and counted. */
const WAITING = 4096;
const TIMEOUT_MS = 10_000;

const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const PER_TOKEN = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];
const TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304];
const LABELS = [GENAI_NAMES.operation, GENAI_NAMES.provider, GENAI_NAMES.requestModel, GENAI_NAMES.responseModel];
const histogram = (help: string, buckets: readonly number[], labels: readonly string[] = LABELS): FamilySpec => ({ type: 'histogram', help, buckets, labels });

const METRICS = {
  [GENAI_METRICS.serverDuration]: histogram('Time of a request.', SECONDS),
  [GENAI_METRICS.serverFirstToken]: histogram('Time to the first token.', FIRST_TOKEN),
  [GENAI_METRICS.serverPerToken]: histogram('Time of one token after the first.', PER_TOKEN),
  [GENAI_METRICS.clientDuration]: histogram('Time of an operation at an upstream.', SECONDS),
  [GENAI_METRICS.clientFirstChunk]: histogram('Time to the first piece of an answer.', FIRST_TOKEN),
  [GENAI_METRICS.clientPerChunk]: histogram('Time from one piece to the next.', PER_TOKEN),
  [GENAI_METRICS.clientTokens]: histogram('Tokens of an operation.', TOKENS, [...LABELS, GENAI_NAMES.tokenType]),
} satisfies Record<string, FamilySpec>;
const UNITS = Object.fromEntries(Object.keys(METRICS).map((name) => [name, name === GENAI_METRICS.clientTokens ? '{token}' : 's']));

/** Sends spans and metrics of the GenAI conventions to a collector, in batches; a collector that is away costs nothing but a log line. */
export function createOtlpExporter(options: OtlpOptions): OtlpExporter {
  const { resource, endpoint, fetch = globalThis.fetch, logger = silentLogger, clock = systemClock, intervalMs = 5_000 } = options;
  const base = endpoint.replace(/\/+$/, '');
  const registry = createMetricsRegistry(METRICS);
  const startMs = clock.now();
  let waiting: Span[] = [];
  let dropped = 0;
  let away = false;
  let changed = false;
  let flushing: Promise<void> = Promise.resolve();
  const timer = setInterval(() => void flush(), intervalMs).unref();

  async function post(path: string, body: object): Promise<boolean> {
    try {
      const response = await fetch(`${base}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`status ${response.status}`);
      if (away) logger.info('The collector of traces answers again.', { dropped });
      away = false;
      return true;
    } catch (error) {
      if (!away)
        logger.warning('The collector of traces does not take them.', { endpoint: base, reason: error instanceof Error ? error.message : String(error) });
      away = true;
      return false;
    }
  }

  async function send(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH);
      if (!(await post('/v1/traces', tracesBody(resource, batch)))) break;
      waiting = waiting.slice(batch.length);
    }
    if (!changed) return;
    changed = false;
    if (!(await post('/v1/metrics', metricsBody(resource, await registry.collect(), UNITS, startMs, clock.now())))) changed = true;
  }

  const flush = (): Promise<void> => {
    flushing = flushing.then(send);
    return flushing;
  };

  function record(event: RequestEndEvent): void {
    for (const answer of event.answers) {
      const labels = [operationOf(event.route), answer.upstream, answer.model, answer.model];
      changed = true;
      const seconds = (name: string, milliseconds: number) => registry.observe(name, labels, milliseconds / 1000);
      seconds(GENAI_METRICS.serverDuration, event.durationMs);
      seconds(GENAI_METRICS.clientDuration, answer.endMs - answer.startMs);
      seconds(GENAI_METRICS.serverFirstToken, answer.timings.firstTokenMs);
      seconds(GENAI_METRICS.clientFirstChunk, answer.timings.firstTokenMs);
      for (const gap of answer.gapsMs) seconds(GENAI_METRICS.clientPerChunk, gap);
      const { usage } = answer;
      if (!usage) continue;
      if (usage.completionTokens > 1) seconds(GENAI_METRICS.serverPerToken, answer.timings.decodeMs / (usage.completionTokens - 1));
      registry.observe(GENAI_METRICS.clientTokens, [...labels, 'input'], usage.promptTokens);
      registry.observe(GENAI_METRICS.clientTokens, [...labels, 'output'], usage.completionTokens);
    }
  }

  return {
    listener(event) {
      if (event.kind !== 'request-end') return;
      record(event);
      if (!event.sampled || event.scope === 'public') return;
      const spans = spansOf(event, { latest: options.latestNames ?? false });
      if (waiting.length + spans.length > WAITING) dropped += spans.length;
      else waiting.push(...spans);
      if (waiting.length >= BATCH) void flush();
    },
    flush,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await flush();
    },
  };
}
