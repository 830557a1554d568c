// One pull in a process of its own: prints its seconds, those of the processor, and the most memory that the process held.
// `node bench/store/pull-once.ts ENDPOINT DIRECTORY`
import { join } from 'node:path';
import { silentLogger, systemClock } from '../../src/core/index.ts';
import { createStore, freeSpaceOf, sleepFor } from '../../src/store/index.ts';

const [endpoint = '', directory = ''] = process.argv.slice(2);
const store = createStore({
  cacheDirectory: join(directory, 'hub'),
  workspaceHome: null,
  stateDirectory: join(directory, 'state'),
  userHome: null,
  workingDirectory: directory,
  runtimeProbe: () => ({}),
  hub: { endpoint, token: null, offline: false, timeoutMs: 60_000, cdnHosts: [], fetch },
  logger: silentLogger,
  clock: systemClock,
  freeSpace: freeSpaceOf,
  sleep: sleepFor,
  commandRunner: null,
});
const start = performance.now();
const before = process.cpuUsage();
await store.pull({ reference: 'org/bulk' });
const { user, system } = process.cpuUsage(before);
console.log(
  JSON.stringify({ seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6, peakBytes: process.resourceUsage().maxRSS * 1024 }),
);
