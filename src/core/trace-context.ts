import { pooledRandom } from './ids.ts';

/** Where a request stands in a trace (W3C Trace Context, https://www.w3.org/TR/trace-context). */
export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly sampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/;

/** Goes on with the caller's trace where its header is right, else begins one. */
export function traceContextOf(traceparent: string | null): TraceContext {
  const [, version, traceId, parentSpanId, flags] = TRACEPARENT.exec(traceparent?.trim() ?? '') ?? [];
  const spanId = pooledRandom(8).toString('hex');
  const broken = version === undefined || version === 'ff' || /^0+$/.test(traceId!) || /^0+$/.test(parentSpanId!);
  if (broken) return { traceId: pooledRandom(16).toString('hex'), spanId, parentSpanId: null, sampled: true };
  return { traceId: traceId!, spanId, parentSpanId: parentSpanId!, sampled: (Number.parseInt(flags!, 16) & 1) === 1 };
}

export const traceparentOf = ({ traceId, spanId, sampled }: TraceContext): string => `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
