import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isHearthError } from '../../src/core/index.ts';
import type { Store } from '../../src/store/index.ts';
import { type FakeHub, type FakeHubBehaviour, startFakeHub } from './fake-hub.ts';
import { type ModelFiles, makeTempStore, mlxModel, type TempStore, writeFiles } from './temp-store.ts';

export const HUB_MODEL = 'mlx-community/tiny';
export const HUB_WEIGHTS = randomBytes(400_000);

export interface HubStore extends AsyncDisposable {
  readonly temp: TempStore;
  readonly hub: FakeHub;
  readonly store: Store;
  /** Where the cache keeps the model. */
  readonly directory: string;
}

/** An empty store beside a fake hub that holds `files` as the model `HUB_MODEL`. */
export async function makeHubStore(
  behaviour: FakeHubBehaviour = {},
  files: ModelFiles = mlxModel({ 'model.safetensors': HUB_WEIGHTS }),
  over: { readonly token?: string } = {},
): Promise<HubStore> {
  const temp = await makeTempStore();
  await writeFiles(join(temp.hubFolder, HUB_MODEL, 'main'), files);
  const hub = await startFakeHub(temp.hubFolder, behaviour);
  return {
    temp,
    hub,
    store: temp.with({ hub: { endpoint: hub.endpoint, timeoutMs: 2000, ...over } }),
    directory: join(temp.cacheDirectory, 'models--mlx-community--tiny'),
    [Symbol.asyncDispose]: async () => {
      await hub[Symbol.asyncDispose]();
      await temp[Symbol.asyncDispose]();
    },
  };
}

/** The code that a task is refused with, or `no error`. */
export async function codeOf(task: Promise<unknown>): Promise<string> {
  try {
    await task;
    return 'no error';
  } catch (error) {
    return isHearthError(error) ? error.code : String(error);
  }
}

export const namesIn = async (directory: string): Promise<string[]> => (await readdir(directory).catch(() => [])).sort();
