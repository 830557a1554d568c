import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Config, HubEnvironment } from '../config/index.ts';
import { type Logger, type RuntimeProbe, systemClock } from '../core/index.ts';
import type { Intake, Trust } from '../security/index.ts';
import { createCommandRunner, createStore, freeSpaceOf, type Store, sleepFor } from '../store/index.ts';
import type { HearthOptions } from './hearth-options.ts';

/** The store with what config and the variables of the Hugging Face tools say. */
export function createHearthStore(
  options: HearthOptions,
  hub: HubEnvironment,
  runtimeProbe: RuntimeProbe,
  logger: Logger,
  intake?: Intake,
  trust?: Pick<Trust, 'notePull'>,
): Store {
  const { config, env, home, userHome } = options;
  return createStore({
    ...resolvePlaces(storePlaces(config, hub, userHome), options.cwd),
    stateDirectory: join(home, 'state'),
    userHome,
    workingDirectory: options.cwd,
    runtimeProbe,
    ...(intake === undefined ? {} : { intake }),
    ...(trust === undefined ? {} : { onPulled: (pulled) => trust.notePull(pulled) }),
    hub: {
      endpoint: config.hub.endpoint.replace(/\/+$/, ''),
      token: hub.token ?? null,
      pushToken: env['HF_TOKEN'] || null,
      offline: hub.offline,
      timeoutMs: hub.readTimeoutMs,
      cdnHosts: config.hub.cdnHosts,
      fetch: globalThis.fetch,
    },
    logger,
    hearthVersion: options.version,
    clock: systemClock,
    freeSpace: freeSpaceOf,
    sleep: sleepFor,
    pushTargets: config.push.targets,
    commandRunner: createCommandRunner({ environment: env }),
    strictTestDelete: env['HEARTH_STRICT_TEST_DELETE'] === '1' || env['MLXK2_STRICT_TEST_DELETE'] === '1',
  });
}

/** Where models are, as the configuration says. */
export interface StorePlaces {
  readonly cacheDirectory: string;
  readonly workspaceHome: string | null;
}

export const storePlaces = (config: Config, hub: Pick<HubEnvironment, 'cacheDirectory'>, userHome: string): StorePlaces => ({
  cacheDirectory: config.models.dir === null ? hub.cacheDirectory : expand(config.models.dir, userHome),
  workspaceHome: config.workspaces.home === null ? null : expand(config.workspaces.home, userHome),
});

/** The same seen from a working directory; a workspace home that does not exist is ignored, not made. */
export const resolvePlaces = ({ cacheDirectory, workspaceHome }: StorePlaces, cwd: string): StorePlaces => ({
  cacheDirectory: resolve(cwd, cacheDirectory),
  workspaceHome: workspaceHome !== null && statSync(workspaceHome, { throwIfNoEntry: false })?.isDirectory() ? workspaceHome : null,
});

const expand = (path: string, userHome: string): string => (path === '~' || path.startsWith('~/') ? join(userHome, path.slice(1)) : path);
