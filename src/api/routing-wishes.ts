import { HearthError, type TraceContext, traceparentOf } from '../core/index.ts';
import type { AnswerCall } from '../gateway/index.ts';

export type Wishes = Pick<AnswerCall, 'wishes' | 'headers' | 'hops' | 'requestId'>;

/** Through more than this many hearths no request goes: it runs in a circle (docs/spec/serving.md §8). */
const MAX_HOPS = 3;
/** The client's own secrets: of the others the upstream takes those that it knows. */
const SECRET = /^(authorization|cookie|proxy-.*|x-api-key)$/;

/** What the headers of a request say about where it may go (docs/spec/serving.md §6.1). Throws invalid_value for a circle. */
export function routingWishes(headers: Headers, requestId: string, trace: TraceContext): Wishes {
  const localOnly = headers.get('x-hearth-privacy') === 'local';
  const noFallback = headers.get('x-hearth-no-fallback') === 'true';
  const hops = Number(headers.get('x-hearth-hops') ?? 0);
  if (!Number.isSafeInteger(hops) || hops < 0 || hops > MAX_HOPS)
    throw new HearthError('invalid_value', `The request came through ${MAX_HOPS} servers of this kind already: their remotes may point at each other.`, {
      details: { param: 'x-hearth-hops' },
    });
  const forwarded: Record<string, string> = Object.fromEntries([...headers].filter(([name]) => !SECRET.test(name)));
  // Whoever brings no trace begins one here; an upstream goes on with it either way.
  if (trace.parentSpanId === null) forwarded['traceparent'] = traceparentOf(trace);
  forwarded['x-request-id'] = requestId;
  return { requestId, hops, headers: forwarded, ...(localOnly || noFallback ? { wishes: { localOnly, noFallback } } : {}) };
}
