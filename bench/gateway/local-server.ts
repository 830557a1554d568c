// hearth's gateway, API and listener around an engine that computes nothing: what the request path itself costs.
//   node bench/gateway/local-server.ts [--first-ms 20] [--tokens 16] [--port 0]      prints {"port": …, "pid": …} when it listens
// SIGUSR2 prints memory and event-loop lag since the last one as one line.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { createApi, listen } from '../../src/api/index.ts';
import { createGateway } from '../../src/gateway/index.ts';
import { createLogger } from '../../src/telemetry/index.ts';
import { fakeModels } from '../../test/support/http-fixture.ts';
import { createInProcessEngine, processlessSupervisor } from '../../test/support/in-process-engine.ts';

const { values } = parseArgs({
  options: { 'first-ms': { type: 'string', default: '20' }, tokens: { type: 'string', default: '16' }, port: { type: 'string', default: '0' } },
});
const engine = createInProcessEngine({ firstMs: Number(values['first-ms']), tokens: Number(values.tokens) });
// The daemon's own log level and shape; the lines go nowhere.
const logger = createLogger({ level: 'info', json: false, userHome: '/home/bench', output: { write: () => true } });
const gateway = createGateway({ models: fakeModels(['mock']), engines: [engine], supervisor: processlessSupervisor, parallelSequences: 4096, logger });
const api = createApi({ gateway, store: {} as never, version: 'bench', logger });
const listener = await listen(api, { port: Number(values.port) });
const lag = monitorEventLoopDelay({ resolution: 1 });
lag.enable();
process.on('SIGUSR2', () => {
  const line = { residentMib: process.memoryUsage.rss() / 2 ** 20, lagP50Ms: lag.percentile(50) / 1e6, lagP99Ms: lag.percentile(99) / 1e6 };
  lag.reset();
  process.stdout.write(`${JSON.stringify(line)}\n`);
});
process.on('SIGTERM', () => process.exit(0));
process.stdin.on('end', () => process.exit(0)).resume();
process.stdout.write(`${JSON.stringify({ port: listener.port, pid: process.pid })}\n`);
