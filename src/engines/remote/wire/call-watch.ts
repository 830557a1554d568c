import type { UpstreamTimeouts } from '../call.ts';
import type { Faults } from '../faults.ts';

/** The time limits of one call: whichever ends first aborts the connection, with the fault as the signal's reason. */
export interface CallWatch extends Disposable {
  /** Aborted by the caller's signal or by a limit. */
  readonly signal: AbortSignal;
  /** Waits for a connection from now on. */
  connecting(): void;
  /** Waits for the first content of a stream from now on; the time before counts. */
  awaitingContent(): void;
  /** Waits for the next content, or the next piece of a body. */
  waiting(): void;
  /** Nobody waits for the upstream; with `content` the idle limit begins anew, else the time waited stays used. */
  received(content: boolean): void;
  /** Milliseconds since the call began. */
  elapsedMs(): number;
}

export function watchCall(timeouts: UpstreamTimeouts, faults: Faults, outer: AbortSignal): CallWatch {
  const controller = new AbortController();
  const startedAt = performance.now();
  let phase: NodeJS.Timeout | undefined;
  let idleLeft = timeouts.idleMs;
  let waitingSince: number | null = null;

  const abort = (reason: unknown) => {
    clear();
    controller.abort(reason);
  };
  const leave = () => abort(outer.reason);
  const total = setTimeout(() => abort(faults.timeout('took longer than its limit for the whole answer', timeouts.requestMs)), timeouts.requestMs);
  function clear(): void {
    clearTimeout(total);
    clearTimeout(phase);
    outer.removeEventListener('abort', leave);
  }
  function limit(ms: number, what: string, told: number): void {
    clearTimeout(phase);
    phase = setTimeout(() => abort(faults.timeout(what, told)), ms);
  }
  if (outer.aborted) leave();
  else outer.addEventListener('abort', leave, { once: true });

  return {
    signal: controller.signal,
    connecting: () => limit(timeouts.connectMs, 'took no connection', timeouts.connectMs),
    awaitingContent() {
      const left = timeouts.firstTokenMs - (performance.now() - startedAt);
      limit(Math.max(0, left), 'sent no content', timeouts.firstTokenMs);
    },
    waiting() {
      waitingSince = performance.now();
      limit(Math.max(0, idleLeft), 'stalled', timeouts.idleMs);
    },
    received(content) {
      clearTimeout(phase);
      if (content) idleLeft = timeouts.idleMs;
      else if (waitingSince !== null) idleLeft -= performance.now() - waitingSince;
      waitingSince = null;
    },
    elapsedMs: () => performance.now() - startedAt,
    [Symbol.dispose]: clear,
  };
}
