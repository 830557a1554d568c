import type { GenerateEvent, GenerateRequest } from '../contract/index.ts';
import { HearthError, isHearthError } from '../core/index.ts';
import type { Answer } from './answer.ts';
import type { LoadedModel } from './loaded-model.ts';
import type { DeathCode } from './resident.ts';

/** One running request of a model that is loaded here. */
export interface Generation extends Omit<Answer, 'attempts'> {
  readonly events: AsyncGenerator<GenerateEvent, void>;
}

export interface GenerationOrder {
  readonly loaded: LoadedModel;
  readonly request: GenerateRequest;
  readonly arrivedAtMs: number;
  readonly loadMs: number;
  readonly queueMs: number;
  /** Client gone, cancelled or over its time. */
  readonly signal: AbortSignal;
  /** Calls the listener when the child is gone; answers the function that takes it off again. */
  readonly onDeath: (listener: (reason: string, code?: DeathCode) => void) => () => void;
  /** Before and after each event that the engine owes: a child that is waited for in vain hangs. */
  readonly onWait: (waiting: boolean) => void;
  readonly onEnd: () => void;
  readonly nowMs: () => number;
}

/** Passes the engine's events on, adds the failures that the engine cannot tell, and frees the place in every case. */
export function startGeneration(order: GenerationOrder): Generation {
  const admittedAt = order.nowMs();
  let firstAt: number | null = null;
  let lastAt = admittedAt;
  let open = true;
  const gapsMs: number[] = [];
  let usage: ReturnType<Generation['usage']> = null;
  const finish = () => {
    if (open) order.onEnd();
    open = false;
  };
  // Also when nobody has pulled an event yet.
  order.signal.addEventListener('abort', finish, { once: true });

  async function* run(): AsyncGenerator<GenerateEvent, void> {
    const abort = new AbortController();
    const interruption = interrupted(order);
    order.signal.addEventListener('abort', () => abort.abort(order.signal.reason), { once: true });
    if (order.signal.aborted) abort.abort(order.signal.reason);
    const source = order.loaded.session.generate(order.request, abort.signal)[Symbol.asyncIterator]();
    let ended = false;
    try {
      for (;;) {
        order.onWait(true);
        const next = await interruption.before(source.next()).finally(() => order.onWait(false));
        if (next.done) {
          if (!ended) yield { kind: 'error', code: 'engine_crashed', message: 'The engine ended the answer without finishing it.' };
          return;
        }
        const event = next.value;
        if (event.kind === 'text-delta' || event.kind === 'reasoning-delta' || event.kind === 'tool-start' || event.kind === 'tool-delta') {
          const now = order.nowMs();
          if (firstAt !== null) gapsMs.push(now - lastAt);
          lastAt = now;
          firstAt ??= now;
        }
        if (event.kind === 'usage') usage = event;
        if (event.kind === 'end' || event.kind === 'error') ended = true;
        yield event;
        if (ended) return;
      }
    } catch (error) {
      const failure = isHearthError(error) ? error : new HearthError('internal_error', 'The engine failed in an unexpected way.', { cause: error });
      yield { kind: 'error', code: failure.code, message: failure.message };
    } finally {
      if (!ended) abort.abort(new HearthError('client_closed_request', 'The answer is no longer wanted.'));
      void source.return?.()?.catch(() => {});
      interruption.dispose();
      finish();
    }
  }

  const { model, engineId, report } = order.loaded;
  const { adapter } = order.request;
  return {
    source: {
      model: adapter === undefined ? model.id : `${model.id}+${adapter.name}`,
      hash: model.hash,
      upstream: engineId,
      version: report.version,
      device: report.device,
    },
    events: run(),
    usage: () => usage,
    timings: () => {
      const first = firstAt ?? lastAt;
      return {
        loadMs: order.loadMs,
        queueMs: order.queueMs,
        prefillMs: first - admittedAt,
        decodeMs: lastAt - first,
        firstTokenMs: first - order.arrivedAtMs,
        gapsMs,
      };
    },
  };
}

interface Interruption {
  /** What the promise gives; rejects when the client or the child is gone before that. One promise at a time. */
  before<T>(promise: Promise<T>): Promise<T>;
  /** Takes the listeners off, so that nothing outlives the request. */
  dispose(): void;
}

/** A race with one promise that is pending for the whole answer would keep each of its events until the end: here only the last wait is known. */
function interrupted({ signal, onDeath }: GenerationOrder): Interruption {
  let failure: HearthError | null = null;
  let wake: (error: HearthError) => void = () => {};
  const interrupt = (error: HearthError): void => {
    failure ??= error;
    wake(failure);
  };
  const onAbort = () => interrupt(isHearthError(signal.reason) ? signal.reason : new HearthError('client_closed_request', 'The client went away.'));
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  const off = onDeath((reason, code = 'engine_crashed') => interrupt(new HearthError(code, `The engine ended while it answered: ${reason}`)));
  return {
    before: (promise) =>
      new Promise((resolve, reject) => {
        wake = reject;
        if (failure !== null) reject(failure);
        promise.then(resolve, reject);
      }),
    dispose() {
      signal.removeEventListener('abort', onAbort);
      off();
    },
  };
}
