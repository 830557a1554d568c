import type { ProductEvent, RequestEndEvent } from '../../contract/index.ts';
import { type Clock, type EventSink, type Logger, traceContextOf } from '../../core/index.ts';
import { type Caller, callerId } from '../../security/index.ts';
import { accessLog } from './access-log.ts';
import { outcomeOf } from './outcome.ts';
import type { LiveRequest, RequestTable } from './request-table.ts';

/** What an answer has to say may come this much after the end of its request. */
const LATE_MS = 1000;

export interface RequestObserver {
  readonly table: RequestTable;
  begin(request: Request, id: string, caller: Caller): LiveRequest;
  /** `end`: how its stream ended, or the code of its error; null = as its status says. The first call counts. */
  end(live: LiveRequest, status: number, end: string | null): void;
}

/** Keeps the table of requests that run, and tells of each that is over: one event, one line in the access log. */
export function createRequestObserver({
  clock,
  events,
  logger,
}: {
  readonly clock: Clock;
  readonly events: EventSink;
  readonly logger: Logger;
}): RequestObserver {
  const table: RequestTable = new Map();
  const log = accessLog(logger);
  const tell = (event: ProductEvent): void => events.emit(event);
  return {
    table,
    begin(request, id, caller) {
      const live: LiveRequest = {
        id,
        clientRequestId: request.headers.get('x-request-id')?.slice(0, 128) ?? null,
        method: request.method,
        path: new URL(request.url).pathname.slice(0, 200),
        trace: traceContextOf(request.headers.get('traceparent')),
        startedAtMs: clock.now(),
        arrivedAt: clock.monotonic(),
        keyId: callerId(caller),
        remoteAddress: caller.kind === 'tcp' ? caller.remoteAddress : null,
        origin: request.headers.get('origin')?.slice(0, 200) ?? null,
        refusedScope: null,
        route: 'none',
        scope: 'public',
        phase: 'checking',
        streaming: false,
        model: null,
        upstream: null,
        pieces: 0,
        code: null,
        answers: [],
        open: [],
      };
      table.set(id, live);
      return live;
    },
    end(live, status, end) {
      if (!table.delete(live.id)) return;
      const { trace, arrivedAt, phase: _, streaming: __, pieces: ___, open, id, code, ...facts } = live;
      const event: RequestEndEvent = {
        kind: 'request-end',
        ...facts,
        ...trace,
        requestId: id,
        status,
        code: code ?? (end === null || end === 'ok' || end === 'client_cancel' || end === 'slow_client' ? null : end),
        outcome: outcomeOf(end ?? code, status),
        durationMs: clock.monotonic() - arrivedAt,
      };
      if (open.length === 0) {
        log(event);
        tell(event);
        return;
      }
      // A client that went away ends its request before its answer has noticed.
      const late = new Promise((resolve) => setTimeout(resolve, LATE_MS).unref());
      void Promise.race([Promise.all(open), late]).then(() => {
        log(event);
        tell(event);
      });
    },
  };
}
