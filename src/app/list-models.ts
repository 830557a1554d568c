import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { findConfigFile, readHubEnvironment } from '../config/environment.ts';
import type { Config } from '../config/index.ts';
import type { ListData } from '../contract/index.ts';
import { HearthError, makePrivateDirectory, type RuntimeProbe, readManagedFile, silentLogger, systemClock, writeManagedFile } from '../core/index.ts';
import { createJudgements, createStore, freeSpaceOf, sleepFor } from '../store/index.ts';
import { resolvePlaces, type StorePlaces, storePlaces } from './create-hearth-store.ts';

export interface ListModelsOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly userHome: string;
  readonly cwd: string;
  /** What is kept from an earlier run is used under the same stamp only. */
  readonly stamp: string;
  readonly pattern?: string;
}

/**
 * The list of models without the rest of the product: the configuration is read and engines are asked only where something has
 * changed since the last list (`<home>/state/list.json` and `judgements.json`). The answer is that of the whole product.
 */
export async function listModels(options: ListModelsOptions): Promise<ListData> {
  const { env, home, userHome, cwd } = options;
  const userFile = findConfigFile(home);
  const stamp = stampOf(options, userFile?.text);
  const readConfig = once(async (): Promise<Config> => {
    const { load } = await import('../config/index.ts');
    return (await load({ flags: {}, env, userFile })).config;
  });
  const places = await placesOf(join(home, 'state', 'list.json'), stamp, async () =>
    storePlaces(await readConfig(), readHubEnvironment(env, userHome), userHome),
  );
  const probe = once(async () => {
    const { createEngines, engineOptionsOf, probeOf } = await import('./create-engines.ts');
    return probeOf(createEngines(home), engineOptionsOf(await readConfig()));
  });
  const runtimeProbe: RuntimeProbe = async (facts) => await (await probe())(facts);
  const store = createStore({
    ...resolvePlaces(places, cwd),
    stateDirectory: join(home, 'state'),
    userHome,
    workingDirectory: cwd,
    runtimeProbe,
    judgements: createJudgements({ file: join(home, 'state', 'judgements.json'), stamp }),
    hub: { endpoint: '', token: null, pushToken: null, offline: true, timeoutMs: 0, cdnHosts: [], fetch: refuse },
    logger: silentLogger,
    hearthVersion: '',
    clock: systemClock,
    freeSpace: freeSpaceOf,
    sleep: sleepFor,
    pushTargets: [],
    commandRunner: null,
  });
  return await store.list(options.pattern === undefined ? {} : { pattern: options.pattern });
}

const refuse = async (): Promise<never> => {
  throw new HearthError('offline', 'A list of models opens no connection.');
};

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  return () => {
    made ??= make();
    return made;
  };
}

/** Everything that the places and the engines' settings can depend on. */
function stampOf({ env, userHome, stamp }: ListModelsOptions, config: string | undefined): string {
  const named = Object.entries(env).filter(([name]) => /^(HEARTH|MLXK|HF_|XDG_)/.test(name));
  return createHash('sha256')
    .update(JSON.stringify([stamp, config ?? null, userHome, named.sort(([a], [b]) => (a < b ? -1 : 1))]))
    .digest('base64');
}

async function placesOf(file: string, stamp: string, find: () => Promise<StorePlaces>): Promise<StorePlaces> {
  const kept = readPlaces(file);
  if (kept !== null && kept.stamp === stamp) return kept;
  const places = await find();
  try {
    await makePrivateDirectory(join(file, '..'));
    await writeManagedFile(file, JSON.stringify({ stamp, ...places }));
  } catch {
    // Only the speed of the next list is lost.
  }
  return places;
}

function readPlaces(file: string): (StorePlaces & { readonly stamp: string }) | null {
  try {
    const { stamp, cacheDirectory, workspaceHome } = JSON.parse(readManagedFile(file) ?? 'null') as Record<string, unknown>;
    const whole = typeof stamp === 'string' && typeof cacheDirectory === 'string' && (workspaceHome === null || typeof workspaceHome === 'string');
    return whole ? { stamp, cacheDirectory, workspaceHome } : null;
  } catch {
    return null;
  }
}
