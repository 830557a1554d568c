import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';
import { MEMORY_LEVELS } from './product-events.ts';

const id = z.strictObject({ id: z.string().min(1).max(128) });

/** A request that is not over. */
export const liveRequest = z.strictObject({
  id: z.string(),
  method: z.string(),
  route: z.string(),
  key: z.string(),
  phase: z.enum(['checking', 'waiting', 'prefill', 'answering']),
  stream: z.boolean(),
  model: z.string().nullable(),
  upstream: z.string().nullable(),
  age_ms: z.number(),
  pieces: z.int(),
  trace_id: z.string(),
});

export const queueRow = z.strictObject({
  model: z.string(),
  key: z.string(),
  priority: z.enum(['interactive', 'batch']),
  sequences: z.int(),
  waited_ms: z.number(),
});

const cacheRow = z.strictObject({ model: z.string(), total_tokens: z.int(), held_tokens: z.int(), prefix_tokens: z.int(), bytes: z.number() });

const memoryView = z.strictObject({
  level: z.enum(MEMORY_LEVELS),
  budget_bytes: z.number(),
  charged_bytes: z.number(),
  used_bytes: z.number().nullable(),
});

export const usageRow = z.strictObject({
  hour: z.string(),
  key: z.string(),
  model: z.string(),
  upstream: z.string(),
  requests: z.int(),
  failed: z.int(),
  prompt_tokens: z.int(),
  cached_tokens: z.int(),
  completion_tokens: z.int(),
});

const captureRow = z.strictObject({ id: z.string(), at: z.string(), size_bytes: z.int() });

export const captureReply = z.strictObject({
  id: z.string(),
  at: z.string(),
  method: z.string(),
  path: z.string(),
  status: z.int(),
  request_headers: z.record(z.string(), z.string()),
  request_body: z.string(),
  response_headers: z.record(z.string(), z.string()),
  response_body: z.string(),
});

/** Several events of one moment; `missed` came and went while nobody read. */
export const eventFrame = z.looseObject({
  missed: z.int(),
  events: z.array(z.looseObject({ id: z.int(), at: z.string(), kind: z.string() })),
});

const time = z.iso.datetime({ offset: true }).optional();

/** What the daemon does at the moment, and what it did (docs/spec/serving.md §1.4, §7). */
export const observeEndpoints = {
  metrics: defineEndpoint({ id: 'metrics', method: 'GET', path: '/metrics', scope: 'observe', summary: 'Counters, histograms and gauges as Prometheus text.' }),
  liveRequests: defineEndpoint({
    id: 'liveRequests',
    method: 'GET',
    path: '/admin/v1/requests',
    scope: 'observe',
    summary: 'Requests that are not over.',
    reply: z.strictObject({ seq: z.int(), requests: z.array(liveRequest) }),
  }),
  cancelAnyRequest: defineEndpoint({
    id: 'cancelAnyRequest',
    method: 'DELETE',
    path: '/admin/v1/requests/{id}',
    scope: 'admin',
    summary: 'Cancel a request of anybody.',
    params: id,
    reply: z.strictObject({ id: z.string(), cancelled: z.boolean() }),
  }),
  endReasoning: defineEndpoint({
    id: 'endReasoning',
    method: 'POST',
    path: '/admin/v1/requests/{id}/end-reasoning',
    scope: 'admin',
    summary: 'Close the reasoning part of a running request now and go on to the answer.',
    params: id,
    reply: z.strictObject({ id: z.string(), ended: z.boolean() }),
  }),
  queue: defineEndpoint({
    id: 'queue',
    method: 'GET',
    path: '/admin/v1/queue',
    scope: 'observe',
    summary: 'Requests that wait for a place, model by model.',
    reply: z.strictObject({ seq: z.int(), waiting: z.array(queueRow) }),
  }),
  cache: defineEndpoint({
    id: 'cache',
    method: 'GET',
    path: '/admin/v1/cache',
    scope: 'observe',
    summary: 'What the key-value caches of loaded models hold.',
    reply: z.strictObject({ seq: z.int(), caches: z.array(cacheRow) }),
  }),
  clearCache: defineEndpoint({
    id: 'clearCache',
    method: 'DELETE',
    path: '/admin/v1/cache',
    scope: 'admin',
    summary: 'Drop evaluated prefixes, of one model or of all.',
    query: z.strictObject({ model: z.string().min(1).max(256).optional() }),
    reply: z.strictObject({ cleared: z.array(z.string()) }),
  }),
  limits: defineEndpoint({
    id: 'limits',
    method: 'GET',
    path: '/admin/v1/limits',
    scope: 'observe',
    summary: 'Limits in force, and how close they are.',
    reply: z.strictObject({
      seq: z.int(),
      memory: memoryView,
      requests: z.strictObject({ running: z.int(), waiting: z.int(), streams: z.int(), max_body_bytes: z.int() }),
    }),
  }),
  drain: defineEndpoint({
    id: 'drain',
    method: 'POST',
    path: '/admin/v1/drain',
    scope: 'admin',
    summary: 'Refuse new requests and let running ones end, as at a stop, without ending the daemon.',
    reply: z.strictObject({ draining: z.boolean(), running: z.int() }),
  }),
  pinModel: defineEndpoint({
    id: 'pinModel',
    method: 'POST',
    path: '/admin/v1/models/pin',
    scope: 'models',
    summary: 'Keep a model loaded, or let it go again.',
    body: z.strictObject({ model: z.string().min(1).max(256), pinned: z.boolean() }),
    reply: z.strictObject({ id: z.string(), pinned: z.boolean() }),
  }),
  events: defineEndpoint({
    id: 'events',
    method: 'GET',
    path: '/admin/v1/events',
    scope: 'audit',
    summary: 'What happens, as server-sent events: at most ten frames in a second, each with all that came meanwhile.',
    events: eventFrame,
  }),
  usage: defineEndpoint({
    id: 'usage',
    method: 'GET',
    path: '/admin/v1/usage',
    scope: 'audit',
    summary: 'Requests and tokens by hour, key and model.',
    query: z.strictObject({ key: z.string().min(1).max(128).optional(), from: time, to: time }),
    reply: z.strictObject({ rows: z.array(usageRow) }),
  }),
  captures: defineEndpoint({
    id: 'captures',
    method: 'GET',
    path: '/admin/v1/captures',
    scope: 'audit',
    summary: 'Requests that were captured; none unless `captures.enabled` is set.',
    reply: z.strictObject({ enabled: z.boolean(), captures: z.array(captureRow) }),
  }),
  capture: defineEndpoint({
    id: 'capture',
    method: 'GET',
    path: '/admin/v1/captures/{id}',
    scope: 'audit',
    summary: 'One captured request and its answer, with secrets replaced.',
    params: id,
    reply: captureReply,
  }),
} as const;
