import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createApi, listen } from '../../src/api/index.ts';
import { probeOf } from '../../src/app/create-engines.ts';
import { socketPath } from '../../src/app/index.ts';
import { silentLogger, systemClock } from '../../src/core/index.ts';
import type { Engine } from '../../src/engines/index.ts';
import { createGateway, createStoreModels } from '../../src/gateway/index.ts';
import { createStore, freeSpaceOf, sleepFor } from '../../src/store/index.ts';
import { createSupervisor } from '../../src/supervisor/index.ts';
import type { TestHome } from './hearth-process.ts';
import { CLOSED_ENDPOINT } from './temp-store.ts';

/** A daemon of a test home that runs other engines: commands find it on the home's socket and cannot tell. */
export interface FakeDaemon extends AsyncDisposable {
  /** Children started so far: 0 proves that nothing was loaded. */
  starts(): number;
}

export async function startFakeDaemon(home: TestHome, engine: Engine): Promise<FakeDaemon> {
  const supervisor = createSupervisor({ environment: process.env });
  let starts = 0;
  const counted = {
    start: (spec: Parameters<typeof supervisor.start>[0]) => {
      starts += 1;
      return supervisor.start(spec);
    },
    [Symbol.asyncDispose]: () => supervisor[Symbol.asyncDispose](),
  };
  const store = createStore({
    cacheDirectory: join(home.hfHome, 'hub'),
    workspaceHome: null,
    stateDirectory: join(home.home, 'state'),
    userHome: home.directory,
    workingDirectory: home.directory,
    runtimeProbe: probeOf([engine], {}),
    hub: { endpoint: CLOSED_ENDPOINT, token: null, offline: true, timeoutMs: 1000, cdnHosts: [], fetch },
    logger: silentLogger,
    clock: systemClock,
    freeSpace: freeSpaceOf,
    sleep: sleepFor,
    commandRunner: null,
  });
  const gateway = createGateway({ models: createStoreModels(store), engines: [engine], supervisor: counted });
  const api = createApi({ gateway, store, version: '0.0.0-test' });
  const path = socketPath(home.home, {});
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const listener = await listen(api, { port: null, socketPath: path });
  return {
    starts: () => starts,
    async [Symbol.asyncDispose]() {
      await listener.close();
      await gateway.close({ drainTimeoutMs: 0 });
      await supervisor[Symbol.asyncDispose]();
    },
  };
}
