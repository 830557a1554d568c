import type { ConfigReloads } from '../api/index.ts';
import { CONFIG_KEYS, type Config } from '../config/index.ts';
import type { ReloadResult } from '../contract/index.ts';
import { type Clock, isHearthError, type Logger, NO_SECURITY_EVENTS, type SecurityEventSink, toHearthError } from '../core/index.ts';

/** Something that follows the configuration. */
export interface ConfigFollower {
  /** Throws what is wrong with it; nothing is changed yet. */
  check?(next: Config): void | Promise<void>;
  apply(next: Config): void | Promise<void>;
}

export interface LiveConfig extends ConfigReloads {
  /** What is in force now; a new object after each reload. */
  readonly config: Config;
  follow(follower: ConfigFollower): void;
}

export interface LiveConfigOptions {
  readonly config: Config;
  /** Reads all sources again and throws config_invalid with every problem; absent: what was read once stays. */
  readonly read?: () => Promise<Config>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events?: SecurityEventSink;
}

/** Keys, and beginnings of keys, that take effect without a restart. Everything else waits for the next start. */
const LIVE = [
  'access.',
  'security.injection.',
  'limits.',
  'sampling.',
  'prefixCache.',
  'engines.ember.',
  'aliases',
  'remotes',
  'routes',
  'cloud.',
  'serve.maxTokens',
  ...['queueWaitMs', 'requestMs', 'fairnessMs', 'progressTimeoutMs', 'heartbeatMs', 'headerHoldMs', 'slowClientTimeoutMs', 'ttlSeconds', 'contextTokens'].map(
    (name) => `gateway.${name}`,
  ),
  ...['parallelSequences', 'maxAttempts', 'connectMs', 'firstTokenMs', 'idleMs', 'spillAtQueueDepth', 'maxEventBytes'].map((name) => `gateway.${name}`),
];

/** The configuration of a process that runs on: all of a new one is checked, then all of it is put in force (docs/spec/serving.md §5.4). */
export function createLiveConfig({ config: first, read, clock, logger, events = NO_SECURITY_EVENTS }: LiveConfigOptions): LiveConfig {
  const followers: ConfigFollower[] = [];
  let config = first;
  let last: ReloadResult = { at: null, cause: 'start', ok: true, problems: [], changed: [], needRestart: [] };
  let running: Promise<unknown> = Promise.resolve();

  async function reload(cause: ReloadResult['cause']): Promise<ReloadResult> {
    const at = new Date(clock.now()).toISOString();
    try {
      const next = (await read?.()) ?? config;
      const changed = CONFIG_KEYS.filter(({ path }) => JSON.stringify(valueAt(next, path)) !== JSON.stringify(valueAt(config, path))).map(({ name }) => name);
      const needRestart = changed.filter((name) => !LIVE.some((live) => name === live || name.startsWith(live.endsWith('.') ? live : `${live}.`)));
      for (const follower of followers) await follower.check?.(next);
      config = next;
      for (const follower of followers) await follower.apply(next);
      last = { at, cause, ok: true, problems: [], changed, needRestart };
      if (changed.length > 0) events.record({ event: 'config.change', outcome: 'ok', reason: cause, details: { what: 'config', changed, needRestart } });
      logger.info('config-reload', { cause, changed, need_restart: needRestart });
      return last;
    } catch (error) {
      const told = isHearthError(error) ? error : toHearthError(error);
      const { problems } = told.details;
      last = { at, cause, ok: false, problems: Array.isArray(problems) ? problems.map(String) : [told.message], changed: [], needRestart: [] };
      events.record({ event: 'config.change', outcome: 'failed', reason: told.code, details: { what: 'config', cause, problems: last.problems } });
      logger.error('config-reload-error', { cause, problems: last.problems });
      throw told;
    }
  }

  return {
    get config() {
      return config;
    },
    follow: (follower) => void followers.push(follower),
    reload(cause) {
      // One at a time: two of them might put parts of each in force.
      const result = running.then(() => reload(cause));
      running = result.catch(() => {});
      return result;
    },
    last: () => last,
  };
}

const valueAt = (config: unknown, path: readonly string[]): unknown => path.reduce((node, name) => (node as Record<string, unknown>)?.[name], config);
