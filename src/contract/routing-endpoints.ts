import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';

const balance = z.enum(['weighted', 'least-busy', 'prefix-affine']);
const usd = z.number();

/** An upstream as the router sees it now. */
export const upstreamView = z.strictObject({
  /** Its name in the configuration. */
  id: z.string(),
  kind: z.enum(['openai', 'anthropic', 'peer']),
  privacy: z.enum(['local', 'private', 'cloud']),
  state: z.enum(['starting', 'ready', 'busy', 'draining', 'dead']),
  /** Why it is not ready. */
  reason: z.string().nullable(),
  weight: z.number(),
  maxConcurrent: z.int().nullable(),
  models: z.array(z.string()),
  inFlight: z.int(),
  queued: z.int(),
  /** It asked not to be called before. */
  coolUntil: z.string().nullable(),
  breakers: z.array(
    z.strictObject({ model: z.string(), state: z.enum(['closed', 'open', 'half-open']), openUntil: z.string().nullable(), failuresInRow: z.int() }),
  ),
});

export const upstreamList = z.strictObject({
  upstreams: z.array(upstreamView),
  /** What clouds have cost, with what is set aside for running requests; absent without an upstream that costs something. */
  spend: z.strictObject({ enabled: z.boolean(), dayUsd: usd, dailyCapUsd: usd, monthUsd: usd, monthlyCapUsd: usd }).nullable(),
});

export const routeList = z.strictObject({
  routes: z.array(z.strictObject({ name: z.string(), levels: z.array(z.array(z.string())), balance, fallback: z.boolean() })),
  aliases: z.array(z.strictObject({ name: z.string(), target: z.string() })),
});

export const explainRequest = z.strictObject({
  /** A request of the chat, completions, Messages or Responses API. */
  body: z.looseObject({ model: z.string().min(1).max(256) }),
  /** Such as `x-hearth-privacy`. */
  headers: z.record(z.string(), z.string().max(1024)).optional(),
});

export const explainReply = z.strictObject({
  name: z.string(),
  /** null: one target of its own. */
  route: z.string().nullable(),
  balance,
  fallback: z.boolean(),
  /** The target that would be asked now; null: none. */
  chosen: z.string().nullable(),
  /** `try`, `wait`, or why there is none: `out`, `open`, `cooling`. */
  decision: z.string(),
  /** In the order in which they would be asked. */
  targets: z.array(
    z.strictObject({
      target: z.string(),
      level: z.int(),
      upstream: z.string().nullable(),
      in: z.boolean(),
      reason: z.string(),
      message: z.string().nullable(),
      inFlight: z.int(),
      queued: z.number(),
    }),
  ),
});

const upstreamParams = z.strictObject({ id: z.string().min(1).max(40) });

/** Upstreams and routes: what they are, what would happen, and control of them (docs/spec/serving.md §1.4). */
export const routingEndpoints = {
  upstreams: defineEndpoint({
    id: 'upstreams',
    method: 'GET',
    path: '/admin/v1/upstreams',
    scope: 'observe',
    summary: 'Upstreams with their state, load, breakers, and what clouds have cost.',
    reply: upstreamList,
  }),
  routes: defineEndpoint({
    id: 'routes',
    method: 'GET',
    path: '/admin/v1/routes',
    scope: 'observe',
    summary: 'Routes and aliases of the configuration that is in force.',
    reply: routeList,
  }),
  explainRoute: defineEndpoint({
    id: 'explainRoute',
    method: 'POST',
    path: '/admin/v1/routes/explain',
    scope: 'observe',
    summary: 'Where a request would go and why each target is in or out; nothing is sent.',
    body: explainRequest,
    reply: explainReply,
  }),
  drainUpstream: defineEndpoint({
    id: 'drainUpstream',
    method: 'POST',
    path: '/admin/v1/upstreams/{id}/drain',
    scope: 'admin',
    summary: 'Send an upstream no new requests; running ones go on.',
    params: upstreamParams,
    reply: upstreamView,
  }),
  resumeUpstream: defineEndpoint({
    id: 'resumeUpstream',
    method: 'POST',
    path: '/admin/v1/upstreams/{id}/resume',
    scope: 'admin',
    summary: 'Send a drained upstream requests again.',
    params: upstreamParams,
    reply: upstreamView,
  }),
  resetBreaker: defineEndpoint({
    id: 'resetBreaker',
    method: 'POST',
    path: '/admin/v1/upstreams/{id}/reset-breaker',
    scope: 'admin',
    summary: 'Close the breakers of an upstream and forget its pauses.',
    params: upstreamParams,
    reply: upstreamView,
  }),
} as const;
