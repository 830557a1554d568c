import { type Clock, type Logger, type SecurityEventSink, silentLogger } from '../../core/index.ts';
import { type AlertBook, createAlertBook } from './alert-book.ts';
import { createAlertFile } from './alert-state.ts';
import { createDetector } from './detector.ts';
import type { Signal } from './signal.ts';
import { createDelivery, type Delivery, type DeliveryOptions } from './sinks/delivery.ts';
import type { AlertSink, SinkMessage } from './sinks/sink.ts';

export interface DetectionOptions {
  /** Where alerts are kept: `<home>/state/alerts.json`. */
  readonly path: string;
  readonly events: SecurityEventSink;
  readonly sinks: readonly AlertSink[];
  readonly host: string;
  readonly clock: Clock;
  /** Since the machine was started; goes on while it sleeps. */
  readonly uptimeMs: () => number;
  readonly logger?: Logger;
  /** Of the security log. */
  readonly heartbeatMs?: number;
  /** Times of sinks, for tests. */
  readonly delivery?: Partial<Pick<DeliveryOptions, 'backOffMs' | 'deadAfterMs' | 'timeoutMs' | 'tries' | 'queue'>>;
}

/** Rules, alerts and sinks of one daemon (docs/spec/security.md §18). */
export interface Detection extends AsyncDisposable {
  /** Never throws; costs no more than the rules do. */
  take(signal: Signal): void;
  /** Every so often: clocks, alerts that nobody acknowledged, sinks that are dead. */
  tick(): void;
  readonly alerts: AlertBook;
  readonly sinks: readonly ({ readonly name: string } & Delivery['state'])[];
}

/** The end of a daemon waits so long for what sinks have to be told. */
const LAST_WORDS_MS = 2_000;

export function createDetection(options: DetectionOptions): Detection {
  const { path, events, host, clock, uptimeMs, logger = silentLogger } = options;
  const detect = createDetector(options.heartbeatMs === undefined ? {} : { heartbeatMs: options.heartbeatMs });
  const file = createAlertFile(path, logger);

  const deliveries = options.sinks.map((sink) =>
    createDelivery({
      ...options.delivery,
      sink,
      clock,
      onDead(name, reason) {
        events.record({ event: 'sink.dead', outcome: 'failed', reason: name, details: { sink: name, why: reason } });
        const message = `Alerts no longer get through to the sink ${name}: ${reason}.`;
        tell(
          { atMs: clock.now(), host, cause: 'sink', alert: { id: `sink-${name}`, rule: 'sink.dead', severity: 'high', subject: name, message, count: 1 } },
          name,
        );
      },
      onAlive: (name) => logger.info('Alerts get through to the sink again.', { sink: name }),
    }),
  );

  function tell(message: SinkMessage, except?: string): void {
    for (const delivery of deliveries) if (delivery.name !== except) delivery.offer(message);
  }

  const alerts = createAlertBook({
    saved: file.read(),
    record: (event) => events.record(event),
    notify: (alert, cause) => tell({ atMs: clock.now(), host, cause, alert }),
    changed: (state) => file.save(state),
  });

  function take(signal: Signal): void {
    try {
      const nowMs = clock.now();
      const found = detect(signal, { nowMs, monoMs: clock.monotonic() });
      if (found.length > 0) alerts.take(found, nowMs);
    } catch (error) {
      logger.error('A rule of detection failed.', { error });
    }
  }

  return {
    take,
    tick() {
      take({ kind: 'tick', uptimeMs: uptimeMs() });
      alerts.tick(clock.now());
      for (const delivery of deliveries) delivery.tick();
    },
    alerts,
    get sinks() {
      return deliveries.map(({ name, state }) => ({ name, ...state }));
    },
    async [Symbol.asyncDispose]() {
      const late = new Promise<void>((resolve) => setTimeout(resolve, LAST_WORDS_MS).unref());
      await Promise.race([Promise.all(deliveries.map((delivery) => delivery.idle())), late]);
      for (const delivery of deliveries) delivery[Symbol.dispose]();
      await file.flush();
    },
  };
}
