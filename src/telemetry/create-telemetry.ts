import type { ProductEvent } from '../contract/index.ts';
import { type Clock, type EventSink, type Fetch, type Logger, silentLogger, systemClock } from '../core/index.ts';
import { type CaptureStore, createCaptureStore } from './captures.ts';
import { createEventBus } from './event-bus.ts';
import { createEventFeed, type EventFeed } from './event-feed.ts';
import { type AliasDialect, aliasText } from './metrics/aliases.ts';
import { FAMILIES } from './metrics/families.ts';
import { recordEvents } from './metrics/record-events.ts';
import { createMetricsRegistry, familyText, type MetricsRegistry } from './metrics/registry.ts';
import { createOtlpExporter } from './traces/otlp-exporter.ts';
import { createUsageLedger, type UsageLedger } from './usage-ledger.ts';

export interface TelemetryOptions {
  readonly version: string;
  /** Other names under which `/metrics` tells the same. */
  readonly aliases?: readonly AliasDialect[];
  /** Base URL of an OTLP collector; null = no traces leave. */
  readonly otlpEndpoint?: string | null;
  readonly latestNames?: boolean;
  /** Where captures lie; null = nothing is captured. */
  readonly captureDirectory?: string | null;
  /** File of the counts by key; null = kept in memory. */
  readonly usagePath?: string | null;
  readonly fetch?: Fetch;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

export interface Telemetry extends AsyncDisposable {
  readonly events: EventSink;
  /** Hears every later event too; returns how to stop. */
  subscribe(listener: (event: ProductEvent) => void): () => void;
  readonly registry: MetricsRegistry;
  readonly feed: EventFeed;
  readonly captures: CaptureStore | null;
  readonly usage: UsageLedger;
  /** Prometheus text. */
  metricsText(): Promise<string>;
}

const LAG_MS = 500;

/** Everything that listens to the product's events: counters, traces, the event stream, the counts by key. */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  const { version, clock = systemClock, logger = silentLogger } = options;
  const bus = createEventBus((error) => logger.error('A listener of events failed.', { error }));
  const registry = createMetricsRegistry(FAMILIES);
  registry.set('hearth_build_info', [version, process.version, process.platform], 1);
  registry.set('hearth_memory_pressure_level', [], 0);
  const feed = createEventFeed(undefined, () => clock.now());
  const usage = createUsageLedger(options.usagePath ?? ':memory:', () => clock.now());
  const endpoint = options.otlpEndpoint ?? null;
  const exporter =
    endpoint === null
      ? null
      : createOtlpExporter({
          endpoint,
          resource: { version, instanceId: String(process.pid) },
          latestNames: options.latestNames ?? false,
          logger,
          clock,
          ...(options.fetch ? { fetch: options.fetch } : {}),
        });
  const listeners = [recordEvents(registry), feed.listener, usage.listener, ...(exporter ? [exporter.listener] : [])];
  for (const listener of listeners) bus.subscribe((event) => listener(event as unknown as ProductEvent));
  const lag = watchLag(registry, clock);

  return {
    events: bus,
    subscribe: (listener) => bus.subscribe((event) => listener(event as unknown as ProductEvent)),
    registry,
    feed,
    captures: options.captureDirectory == null ? null : createCaptureStore({ directory: options.captureDirectory, clock, logger }),
    usage,
    async metricsText() {
      const families = await registry.collect();
      return [families.map(familyText).join(''), ...(options.aliases ?? []).map((dialect) => aliasText(dialect, families))].join('');
    },
    async [Symbol.asyncDispose]() {
      clearInterval(lag);
      usage[Symbol.dispose]();
      await exporter?.[Symbol.asyncDispose]();
    },
  };
}

/** How late a timer fires tells how long the event loop was busy with other things. */
function watchLag(registry: MetricsRegistry, clock: Clock): NodeJS.Timeout {
  let due = clock.monotonic() + LAG_MS;
  return setInterval(() => {
    const now = clock.monotonic();
    registry.observe('hearth_event_loop_lag_seconds', [], Math.max(0, now - due) / 1000);
    due = now + LAG_MS;
  }, LAG_MS).unref();
}
