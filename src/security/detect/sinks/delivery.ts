import type { Clock } from '../../../core/index.ts';
import type { AlertSink, SinkMessage } from './sink.ts';

export interface DeliveryOptions {
  readonly sink: AlertSink;
  readonly clock: Clock;
  /** Called once when nothing got through for five minutes, and again only after something did. */
  readonly onDead: (sink: string, reason: string) => void;
  /** Something got through after that. */
  readonly onAlive?: (sink: string) => void;
  /** 1,000; the oldest is dropped for one more. */
  readonly queue?: number;
  /** 5. */
  readonly tries?: number;
  /** Before the second try, the third …; 1, 2, 4, 8 s. */
  readonly backOffMs?: (failures: number) => number;
  /** 10 s. */
  readonly timeoutMs?: number;
  /** 5 min. */
  readonly deadAfterMs?: number;
}

/** What stands between the daemon and one sink: `offer` costs nothing, whatever the sink does. */
export interface Delivery extends Disposable {
  readonly name: string;
  offer(message: SinkMessage): void;
  /** Looks whether the sink is dead; called every so often. */
  tick(): void;
  readonly state: { readonly waiting: number; readonly sent: number; readonly dropped: number; readonly failing: string | null; readonly dead: boolean };
  /** Settles when nothing waits. */
  idle(): Promise<void>;
}

const MINUTE_MS = 60_000;

export function createDelivery(options: DeliveryOptions): Delivery {
  const { sink, clock, onDead, onAlive = () => {}, queue = 1_000, tries = 5, timeoutMs = 10_000, deadAfterMs = 300_000 } = options;
  const { backOffMs = (failures: number) => 1_000 * 2 ** (failures - 1) } = options;
  const gone = new AbortController();
  const waiting: SinkMessage[] = [];
  let sentAt: number[] = [];
  let [sent, dropped, dead] = [0, 0, false];
  let failing: { readonly sinceMs: number; readonly reason: string } | null = null;
  let running: Promise<void> | null = null;

  function failed(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    failing = { sinceMs: failing?.sinceMs ?? clock.monotonic(), reason };
    look();
  }

  function look(): void {
    if (dead || failing === null || clock.monotonic() - failing.sinceMs < deadAfterMs) return;
    dead = true;
    onDead(sink.name, failing.reason);
  }

  async function attempt(message: SinkMessage): Promise<boolean> {
    try {
      await sink.send(message, AbortSignal.any([gone.signal, AbortSignal.timeout(timeoutMs)]));
    } catch (error) {
      if (!gone.signal.aborted) failed(error);
      return false;
    }
    failing = null;
    sent += 1;
    if (dead) {
      dead = false;
      onAlive(sink.name);
    }
    return true;
  }

  /** So many a minute, and no more. */
  async function place(): Promise<void> {
    for (;;) {
      const now = clock.monotonic();
      sentAt = sentAt.filter((at) => now - at < MINUTE_MS);
      if (sentAt.length < sink.perMinute || gone.signal.aborted) {
        sentAt.push(now);
        return;
      }
      await pause(Math.max(1, MINUTE_MS - (now - sentAt[0]!)), gone.signal);
    }
  }

  async function run(): Promise<void> {
    while (waiting.length > 0 && !gone.signal.aborted) {
      await place();
      const message = waiting.shift();
      if (message === undefined) break;
      for (let failures = 0; !gone.signal.aborted && !(await attempt(message)); ) {
        failures += 1;
        if (failures >= tries) {
          dropped += 1;
          break;
        }
        await pause(backOffMs(failures), gone.signal);
      }
    }
    running = null;
  }

  return {
    name: sink.name,
    offer(message) {
      if (gone.signal.aborted || sink.accepts?.(message) === false) return;
      if (waiting.length >= queue) {
        waiting.shift();
        dropped += 1;
      }
      waiting.push(message);
      running ??= run();
    },
    tick: look,
    get state() {
      return { waiting: waiting.length, sent, dropped, failing: failing?.reason ?? null, dead };
    },
    async idle() {
      while (running !== null) await running;
    },
    [Symbol.dispose]() {
      gone.abort();
      waiting.length = 0;
    },
  };
}

/** Does not keep the process alive. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms).unref();
    signal.addEventListener('abort', done, { once: true });
  });
}
