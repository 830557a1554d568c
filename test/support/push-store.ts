import { join } from 'node:path';
import type { PushData } from '../../src/contract/index.ts';
import type { PushParameters } from '../../src/store/index.ts';
import { startWritableHub, type WritableHub, type WritableHubBehaviour } from './fake-hub-writes.ts';
import { type ModelFiles, makeTempStore, mlxModel, type StoreOverrides, type TempStore, writeFiles } from './temp-store.ts';

export const PUSH_TOKEN = 'hf_test-token';
export const PUSH_TARGET = 'tester/model';

export interface PushStore extends AsyncDisposable {
  readonly temp: TempStore;
  readonly hub: WritableHub;
  /** The folder that is pushed. */
  readonly folder: string;
  readonly notices: string[];
  push(parameters?: Partial<PushParameters>, over?: StoreOverrides): Promise<PushData>;
  /** Text of each file on a branch. */
  remote(branch?: string): Readonly<Record<string, string>>;
}

/** A workspace beside a writable hub, with one private repository where `created` says so. */
export async function makePushStore(
  options: { readonly files?: ModelFiles; readonly behaviour?: WritableHubBehaviour; readonly created?: boolean } = {},
): Promise<PushStore> {
  const temp = await makeTempStore();
  const folder = join(temp.root, 'ws');
  await writeFiles(folder, options.files ?? mlxModel());
  const hub = await startWritableHub(temp.hubFolder, options.behaviour);
  if (options.created !== false) await hub.repositories.create(PUSH_TARGET, true);
  const notices: string[] = [];
  return {
    temp,
    hub,
    folder,
    notices,
    push: (parameters = {}, over = {}) =>
      temp
        .with({ ...over, hub: { endpoint: hub.endpoint, pushToken: PUSH_TOKEN, token: PUSH_TOKEN, timeoutMs: 5000, ...over.hub } })
        .push({ directory: folder, repository: PUSH_TARGET, onNotice: (line) => notices.push(line), ...parameters }),
    remote: (branch = 'main') => {
      const files = hub.repositories.commitOf(PUSH_TARGET, branch)?.files ?? new Map();
      return Object.fromEntries([...files].map(([path, { sha256, lfs }]) => [path, `${lfs ? 'lfs' : 'git'} ${sha256.slice(0, 8)}`]));
    },
    [Symbol.asyncDispose]: async () => {
      await hub[Symbol.asyncDispose]();
      await temp[Symbol.asyncDispose]();
    },
  };
}
