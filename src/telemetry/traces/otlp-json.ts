import { redact } from '../../core/index.ts';
import type { FamilySnapshot, HistogramSpec } from '../metrics/registry.ts';
import type { AttributeValue, Span } from './spans.ts';

/** Who sends: becomes the resource of every batch. */
export interface OtlpResource {
  readonly version: string;
  readonly instanceId: string;
}

const KINDS = { internal: 1, server: 2, client: 3 } as const;
const CUMULATIVE = 2;

/** Body of POST /v1/traces in OTLP/HTTP's JSON form (https://opentelemetry.io/docs/specs/otlp). */
export function tracesBody(resource: OtlpResource, spans: readonly Span[]): object {
  return {
    resourceSpans: [
      {
        resource: resourceOf(resource),
        scopeSpans: [{ scope: scopeOf(resource), spans: spans.map(spanJson) }],
      },
    ],
  };
}

function spanJson(span: Span): object {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId === null ? {} : { parentSpanId: span.parentSpanId }),
    name: redact(span.name),
    kind: KINDS[span.kind],
    startTimeUnixNano: nanoseconds(span.startMs),
    endTimeUnixNano: nanoseconds(span.endMs),
    attributes: attributesOf(span.attributes),
    ...(span.events === undefined
      ? {}
      : { events: span.events.map(({ name, timeMs, attributes }) => ({ name, timeUnixNano: nanoseconds(timeMs), attributes: attributesOf(attributes) })) }),
    status: span.error === null ? {} : { code: 2, message: redact(span.error) },
  };
}

/** Body of POST /v1/metrics: histograms, cumulative since `startMs`. Label names are the attributes' names. */
export function metricsBody(
  resource: OtlpResource,
  families: readonly FamilySnapshot[],
  units: Readonly<Record<string, string>>,
  startMs: number,
  nowMs: number,
): object {
  const metrics = families
    .filter(({ spec, series }) => spec.type === 'histogram' && series.length > 0)
    .map(({ name, spec, series }) => ({
      name,
      description: spec.help,
      unit: units[name] ?? '1',
      histogram: {
        aggregationTemporality: CUMULATIVE,
        dataPoints: series.map((each) => ({
          attributes: attributesOf(Object.fromEntries((spec.labels ?? []).map((label, index) => [label, each.labels[index]!]))),
          startTimeUnixNano: nanoseconds(startMs),
          timeUnixNano: nanoseconds(nowMs),
          count: String(each.count),
          sum: each.sum,
          bucketCounts: each.buckets!.map(String),
          explicitBounds: (spec as HistogramSpec).buckets,
        })),
      },
    }));
  return { resourceMetrics: [{ resource: resourceOf(resource), scopeMetrics: [{ scope: scopeOf(resource), metrics }] }] };
}

const scopeOf = ({ version }: OtlpResource): object => ({ name: 'hearth', version });

const resourceOf = ({ version, instanceId }: OtlpResource): object => ({
  attributes: attributesOf({ 'service.name': 'hearth', 'service.version': version, 'service.instance.id': instanceId }),
});

const nanoseconds = (milliseconds: number): string => String(BigInt(Math.round(milliseconds * 1000)) * 1000n);

const attributesOf = (attributes: Readonly<Record<string, AttributeValue>>): object[] =>
  Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));

function anyValue(value: AttributeValue): object {
  // The last hop of this sink: no secret leaves in a value.
  if (typeof value === 'string') return { stringValue: redact(value) };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number') return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  return { arrayValue: { values: value.map((each) => ({ stringValue: redact(each) })) } };
}
