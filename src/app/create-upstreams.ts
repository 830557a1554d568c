import type { Config } from '../config/index.ts';
import { type EventSink, type Logger, registerSecret } from '../core/index.ts';
import { createUpstream, type Upstream } from '../gateway/index.ts';

type RemoteConfig = Config['remotes'][string];

/** `remotes` of the configuration as upstreams; keys are looked up before each request and never written anywhere. */
export function createUpstreams(
  { remotes, gateway }: Pick<Config, 'remotes' | 'gateway'>,
  env: Readonly<Record<string, string | undefined>>,
  logger: Logger,
  events: EventSink,
): readonly (Upstream & Disposable)[] {
  return Object.entries(remotes).map(([name, remote]) => {
    const apiKey = () => keyOf(remote.apiKey, env);
    const price = remote.pricePerMillionTokens;
    return createUpstream({
      name,
      kind: remote.kind,
      baseUrl: remote.baseUrl,
      apiKey,
      models: modelsOf(remote),
      privacy: remote.privacy,
      weight: remote.weight,
      maxConcurrent: remote.maxConcurrent,
      dialect: remote.dialect,
      timeouts: {
        connectMs: gateway.connectMs,
        firstTokenMs: gateway.firstTokenMs,
        idleMs: gateway.idleMs,
        requestMs: gateway.requestMs,
        ...Object.fromEntries(Object.entries(remote.timeouts).filter(([, value]) => value !== undefined)),
      },
      passthroughPaths: remote.passthroughPaths,
      sessionHeaders: remote.sessionHeaders,
      maxEventBytes: remote.maxEventBytes,
      ...(price === undefined ? {} : { pricePerMillionTokens: { input: price.input, cached: price.cached ?? price.input, output: price.output } }),
      onViolation(kind) {
        logger.debug('an upstream departs from its API', { upstream: name, kind });
        events.emit({ kind: 'upstream-violation', upstream: name, violation: kind });
      },
    });
  });
}

function keyOf(key: RemoteConfig['apiKey'], env: Readonly<Record<string, string | undefined>>): string | undefined {
  const value = typeof key === 'object' ? env[key.env] : key;
  if (value === undefined || value === '') return undefined;
  registerSecret('upstream-key', value);
  return value;
}

function modelsOf({ models, capabilities }: RemoteConfig): Parameters<typeof createUpstream>[0]['models'] {
  const plain = { capabilities, contextTokens: null, maxOutputTokens: null };
  if (Array.isArray(models)) return models.map((name: string) => ({ ...plain, name, ownName: name }));
  return Object.entries(models as Exclude<RemoteConfig['models'], readonly string[]>).map(([name, model]) => {
    if (typeof model === 'string') return { ...plain, name, ownName: model };
    return {
      name,
      ownName: model.id ?? name,
      capabilities: model.capabilities ?? capabilities,
      contextTokens: model.contextTokens ?? null,
      maxOutputTokens: model.maxOutputTokens ?? null,
    };
  });
}
