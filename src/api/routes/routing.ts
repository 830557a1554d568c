import { chatRequest, completionRequest, type endpoints, messagesRequest, responseRequest } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import {
  type AnswerCall,
  createMediaReader,
  decodeChat,
  decodeCompletion,
  decodeMessagesRequest,
  decodeResponse,
  type Gateway,
  type Target,
  type UpstreamView,
} from '../../gateway/index.ts';
import type { Handler } from '../bind.ts';
import { routingWishes } from '../routing-wishes.ts';
import type { Services } from '../services.ts';

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

const viewOf = ({ upstream, state, reason, inFlight, queued, coolUntilMs, breakers }: UpstreamView) => ({
  id: upstream.name,
  kind: upstream.kind,
  privacy: upstream.privacy,
  state,
  reason,
  weight: upstream.weight,
  maxConcurrent: upstream.maxConcurrent,
  models: [...upstream.models()],
  inFlight,
  queued,
  coolUntil: iso(coolUntilMs),
  breakers: breakers.map(({ model, phase, openUntilMs, failuresInRow }) => ({ model, state: phase, openUntil: iso(openUntilMs), failuresInRow })),
});

export const upstreamsHandler =
  ({ gateway, clock }: Services): Handler<typeof endpoints.upstreams> =>
  async () => {
    const { routing } = gateway;
    const { cloud, upstreams } = routing.settings;
    const spent = (window: 'day' | 'month') => routing.ledger.spentUsd('cloud', window, clock.now());
    const spend = {
      enabled: cloud.enabled,
      dailyCapUsd: cloud.dailyCapUsd,
      monthlyCapUsd: cloud.monthlyCapUsd,
    };
    const priced = upstreams.some(({ pricePerMillionTokens }) => pricePerMillionTokens !== undefined);
    return { upstreams: routing.upstreams().map(viewOf), spend: priced ? { ...spend, dayUsd: spent('day'), monthUsd: spent('month') } : null };
  };

export const routesHandler =
  ({ gateway }: Services): Handler<typeof endpoints.routes> =>
  async () => {
    const { routes, aliases } = gateway.routing.settings;
    return {
      routes: Object.entries(routes).map(([name, { levels, balance, fallback }]) => ({ name, levels: levels.map((level) => [...level]), balance, fallback })),
      aliases: Object.entries(aliases).map(([name, target]) => ({ name, target })),
    };
  };

/** POST routes/explain: the decision alone, with the sender's own rights. */
export const explainRouteHandler =
  ({ gateway }: Services): Handler<typeof endpoints.explainRoute> =>
  async ({ body: { body, headers } }, context) => {
    const decode = decoderOf(body, context.requestId, gateway);
    const call: AnswerCall = {
      name: body.model,
      decode,
      stream: body['stream'] === true,
      signal: context.signal,
      requester: context.gateway.requester,
      ...routingWishes(new Headers(headers), context.requestId, context.note.live.trace),
    };
    const { targets, ...rest } = await gateway.routing.explain(call);
    return { ...rest, targets: [...targets] };
  };

/** By the fields that only one of the APIs has. */
function decoderOf(body: Readonly<Record<string, unknown>>, requestId: string, { sampling }: Gateway): (target: Target) => ReturnType<AnswerCall['decode']> {
  if (body['input'] !== undefined) {
    const request = parse(responseRequest, body);
    return (target) => decodeResponse(request, target, requestId, sampling, { earlier: [], media: createMediaReader(target), itemOf: () => null }).request;
  }
  if (body['prompt'] !== undefined) {
    const request = parse(completionRequest, body);
    return (target) => decodeCompletion(request, target, requestId, sampling)[0]!;
  }
  if (body['system'] !== undefined || body['stop_sequences'] !== undefined || body['thinking'] !== undefined) {
    const request = parse(messagesRequest, body);
    return (target) => decodeMessagesRequest(request, target, requestId, sampling);
  }
  const request = parse(chatRequest, body);
  return (target) => decodeChat(request, target, requestId, sampling);
}

function parse<T>(
  schema: {
    safeParse(value: unknown): { success: true; data: T } | { success: false; error: { issues: readonly { path: PropertyKey[]; message: string }[] } };
  },
  body: unknown,
): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const param = ['body', ...(issue?.path ?? [])].join('.');
  throw new HearthError('invalid_value', `${param}: ${issue?.message ?? 'not valid'}.`, { details: { param } });
}

type ControlEndpoint = typeof endpoints.drainUpstream | typeof endpoints.resumeUpstream | typeof endpoints.resetBreaker;

const control =
  <E extends ControlEndpoint>({ gateway, logger }: Services, action: 'drain' | 'resume' | 'reset-breaker'): Handler<E> =>
  async (input) => {
    const { routing } = gateway;
    const { id } = (input as { readonly params: { readonly id: string } }).params;
    if (!routing.control(id, action)) throw new HearthError('upstream_not_found', `There is no upstream ${id}.`, { details: { param: 'id' } });
    logger.info('upstream-control', { upstream: id, action });
    return viewOf(routing.upstreams().find(({ upstream }) => upstream.name === id)!) as never;
  };

export const drainUpstreamHandler = (services: Services): Handler<typeof endpoints.drainUpstream> => control(services, 'drain');
export const resumeUpstreamHandler = (services: Services): Handler<typeof endpoints.resumeUpstream> => control(services, 'resume');
export const resetBreakerHandler = (services: Services): Handler<typeof endpoints.resetBreaker> => control(services, 'reset-breaker');
