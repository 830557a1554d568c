// Many requests, one after the other, until what leaks would show: memory, requests that never end, rejections that nobody handles.
//   npm run soak [-- --requests 1000000] [--minutes 30]      mocked: gateway, API and listener around an engine that computes nothing
//   npm run soak -- --real [--requests 10000]                real: `hearth serve` with a tiny model, a daemon and an engine process
//   npm run soak -- --real --smollm2                         the same with SmolLM2-135M
//   npm run soak -- --faults [--minutes 120]                 a real daemon, with clients that leave or break their requests and engines that are killed
// The product's clock goes 24 hours further over the requests of a mocked run. Exit 1 when a bound is not kept.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DAEMON_ENVIRONMENT, DAEMON_FLAGS } from '../src/app/daemon/small-memory.ts';
import { keepOldHeapSmall } from '../src/core/index.ts';
import { groupUsage } from '../src/supervisor/limits/group-usage.ts';
import { createTestHome } from '../test/support/hearth-process.ts';
import { installTinyModel } from '../test/support/tiny-model.ts';
import { benchmarkModels } from './models.ts';
import { servedPort } from './served-port.ts';
import { keepsBounds, soakFaults } from './soak/fault-soak.ts';
import { soakMock } from './soak/mock-soak.ts';

const { values } = parseArgs({
  options: {
    requests: { type: 'string' },
    minutes: { type: 'string' },
    clients: { type: 'string', default: '16' },
    real: { type: 'boolean', default: false },
    smollm2: { type: 'boolean', default: false },
    faults: { type: 'boolean', default: false },
  },
});
/** P2: resident memory at the end ÷ after the warm-up. */
const MAX_RATIO = 1.05;

process.exitCode = (
  values.faults
    ? await soakWithFaults(Number(values.minutes ?? 120))
    : values.real
      ? await soakReal(Number(values.requests ?? 10_000))
      : await soakMocked(Number(values.requests ?? 1_000_000))
)
  ? 0
  : 1;

async function soakWithFaults(minutes: number): Promise<boolean> {
  const report = await soakFaults(minutes, (line) => console.error(line));
  console.log(JSON.stringify(report, null, 2));
  return keepsBounds(report);
}

/** In a process that holds its memory as a daemon does: else what is measured is how much garbage Node lets lie by itself. */
async function soakMocked(requests: number): Promise<boolean> {
  if (!DAEMON_FLAGS.every((flag) => process.execArgv.includes(flag))) {
    const again = [...process.execArgv, ...DAEMON_FLAGS, import.meta.filename, ...process.argv.slice(2)];
    return spawnSync(process.execPath, again, { stdio: 'inherit', env: { ...process.env, ...DAEMON_ENVIRONMENT } }).status === 0;
  }
  keepOldHeapSmall();
  const report = await soakMock({
    requests,
    warmUp: Math.min(10_000, Math.ceil(requests / 10)),
    clients: Number(values.clients),
    skipMsPerRequest: 86_400_000 / requests,
    ...(values.minutes === undefined ? {} : { budgetMs: Number(values.minutes) * 60_000 }),
    onProgress: (done, mib) => console.error(`${done} requests, ${mib.toFixed(1)} MiB resident`),
  });
  console.log(JSON.stringify(report, null, 2));
  return report.residentRatio < MAX_RATIO && report.unhandledRejections === 0 && report.stillRunning === 0;
}

async function soakReal(requests: number): Promise<boolean> {
  await using home = await createTestHome();
  const model = values.smollm2 ? await installSmolLm2(home.hfHome) : 'tiny-llama';
  if (!values.smollm2) await installTinyModel(home.hfHome);
  const server = home.start(['serve', '--json', '--port', '0', '--model', model]);
  const port = servedPort(await server.waitFor('stdout', /\n\}\n/));
  const ask = async (i: number): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: `request ${i}` }], max_tokens: 8, stream: i % 2 === 0 }),
    });
    if (!response.ok) throw new Error(`request ${i}: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  };
  let sent = 0;
  const until = async (count: number): Promise<void> => {
    const client = async (): Promise<void> => {
      while (sent < count) await ask(sent++);
    };
    await Promise.all(Array.from({ length: 4 }, client));
  };
  const warmUp = Math.ceil(requests / 10);
  const start = performance.now();
  await until(warmUp);
  const first = residentOf(server.child.pid!);
  const samples = [first];
  for (let part = 2; part <= 10; part += 1) {
    await until(Math.ceil((requests * part) / 10));
    samples.push(residentOf(server.child.pid!));
    console.error(`${sent} generations, daemon ${samples.at(-1)!.daemon.toFixed(1)} MiB, engine ${samples.at(-1)!.engine.toFixed(1)} MiB`);
  }
  const last = samples.at(-1)!;
  const report = {
    generations: sent,
    first,
    last,
    daemonRatio: last.daemon / first.daemon,
    engineRatio: last.engine / first.engine,
    seconds: (performance.now() - start) / 1000,
  };
  console.log(JSON.stringify(report, null, 2));
  return report.daemonRatio < MAX_RATIO && report.engineRatio < MAX_RATIO;
}

async function installSmolLm2(hfHome: string): Promise<string> {
  const [model] = await benchmarkModels('smollm2');
  const repository = join(hfHome, 'hub/models--bench--smollm2');
  const commit = '0'.repeat(40);
  cpSync(model!.directory, join(repository, 'snapshots', commit), { recursive: true });
  mkdirSync(join(repository, 'refs'));
  writeFileSync(join(repository, 'refs/main'), commit);
  return 'bench/smollm2';
}

/** MiB of the daemon and of all that it started. */
function residentOf(pid: number): { daemon: number; engine: number } {
  const daemon = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
  return { daemon, engine: groupUsage(pid)!.residentBytes / 1024 ** 2 - daemon };
}
