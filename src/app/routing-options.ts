import { join } from 'node:path';
import type { Config } from '../config/index.ts';
import { type Clock, type EventSink, HearthError, type Logger, makePrivateDirectorySync, registerSecret } from '../core/index.ts';
import {
  createMemoryStateStore,
  createRedisStateStore,
  openSpendLedger,
  type RoutingOptions,
  type RoutingSettings,
  type StateStore,
  type Upstream,
  withLocalFallback,
} from '../gateway/index.ts';
import { createUpstreams } from './create-upstreams.ts';

export interface RoutingParts {
  readonly config: Config;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: EventSink;
}

export interface RoutingWiring extends AsyncDisposable {
  readonly options: RoutingOptions;
  /** For rate limits too: where the shared state is gone, they go on with a local one. */
  readonly limitStore: StateStore;
  /** The settings of a changed configuration; remotes that did not change stay the same upstreams. */
  settings(config: Config): Partial<RoutingSettings>;
}

/** Upstreams, routes, aliases, cloud and shared state as the configuration names them. Throws dependency_missing, config_invalid. */
export async function wireRouting({ config: first, env, home, clock, logger, events }: RoutingParts): Promise<RoutingWiring> {
  const known = new Map<string, Upstream & Disposable>();
  const made: (Upstream & Disposable)[] = [];

  function upstreamsOf(config: Config): readonly Upstream[] {
    const { gateway } = config;
    const times = [config.gateway.connectMs, config.gateway.firstTokenMs, config.gateway.idleMs, gateway.requestMs];
    return Object.entries(config.remotes).map(([name, remote]) => {
      const key = JSON.stringify([name, remote, times]);
      const upstream = known.get(key) ?? createUpstreams({ remotes: { [name]: remote }, gateway }, env, logger, events)[0]!;
      if (!known.has(key)) made.push(upstream);
      known.set(key, upstream);
      return upstream;
    });
  }

  const settings = (config: Config): Partial<RoutingSettings> => ({
    upstreams: upstreamsOf(config),
    routes: config.routes,
    aliases: config.aliases,
    cloud: { enabled: config.cloud.enabled, dailyCapUsd: config.cloud.dailyCapUsd, monthlyCapUsd: config.cloud.monthlyCapUsd },
    maxAttempts: config.gateway.maxAttempts,
    spillAtQueueDepth: config.gateway.spillAtQueueDepth,
  });

  const local = createMemoryStateStore(clock);
  const shared = await sharedStore(first, env);
  const onChange = (state: 'local' | 'shared', reason: string | null) => logger.warning(`state-store-${state}`, reason === null ? {} : { reason });
  const limitStore = shared === null ? local : withLocalFallback({ shared, local, clock, onChange });
  return {
    limitStore,
    settings,
    options: {
      ...settings(first),
      stateStore: limitStore,
      ...(shared === null ? {} : { budgetStore: shared }),
      openLedger() {
        makePrivateDirectorySync(join(home, 'state'));
        return openSpendLedger(join(home, 'state', 'spend.sqlite'));
      },
    },
    async [Symbol.asyncDispose]() {
      for (const upstream of made) upstream[Symbol.dispose]();
      await limitStore[Symbol.asyncDispose]();
    },
  };
}

/** null for `memory`. */
async function sharedStore(config: Config, env: RoutingParts['env']): Promise<StateStore | null> {
  const named = config.stateStore;
  if (named === 'memory') return null;
  const url = typeof named === 'string' ? named : env[named.env];
  if (url === undefined || !/^rediss?:\/\//.test(url))
    throw new HearthError('config_invalid', `stateStore: the variable ${typeof named === 'string' ? '' : named.env} holds no Redis URL.`);
  const password = URL.parse(url)?.password;
  if (password) registerSecret('redis-password', decodeURIComponent(password));
  return await createRedisStateStore({ url });
}
