import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { groupUsage } from '../../src/supervisor/limits/group-usage.ts';
import { createTestHome } from '../../test/support/hearth-process.ts';
import { installTinyModel } from '../../test/support/tiny-model.ts';

/** What a daemon and all that it started hold. */
export interface Holdings {
  readonly descriptors: number;
  readonly daemonMib: number;
  readonly processes: number;
  readonly temporaries: number;
}

export interface FaultSoakReport {
  readonly minutes: number;
  readonly requests: number;
  readonly faults: Readonly<Record<string, number>>;
  /** After a tenth of the time, and at the end: each while nothing runs. */
  readonly first: Holdings;
  readonly last: Holdings;
}

/** Longer than the window in which three crashes would be a loop. */
const KILL_EVERY_MS = 301_000;
const SETTLE_MS = 3_000;

/** A real daemon with a tiny model: clients that stay, leave, cut and break their requests; unloads; and engines killed as often as is no crash loop. */
export async function soakFaults(minutes: number, onProgress: (line: string) => void = () => {}): Promise<FaultSoakReport> {
  await using home = await createTestHome();
  await installTinyModel(home.hfHome);
  const server = home.start(['serve', '--json', '--port', '0', '--model', 'tiny-llama']);
  const { port } = (JSON.parse(await server.waitFor('stdout', /\n\}\n/)) as { data: { port: number } }).data;
  const url = `http://127.0.0.1:${port}/v1/chat/completions`;
  const pid = server.child.pid!;
  const faults: Record<string, number> = {};
  let requests = 0;
  const body = (more: object = {}): string =>
    JSON.stringify({ model: 'tiny-llama', messages: [{ role: 'user', content: `request ${requests}` }], max_tokens: 8, ...more });
  const send = async (text: string, signal?: AbortSignal): Promise<number> => {
    requests += 1;
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: text, ...(signal ? { signal } : {}) });
    await response.arrayBuffer();
    return response.status;
  };
  const kinds: Readonly<Record<string, () => Promise<unknown>>> = {
    answer: () => send(body()),
    stream: () => send(body({ stream: true })),
    leave: () => send(body({ stream: true, max_tokens: 400 }), AbortSignal.timeout(30)),
    broken: () => send('{"model":'),
    unknown: () => send(JSON.stringify({ model: 'nobody', messages: [{ role: 'user', content: 'x' }] })),
    wrong: () => send(body({ temperature: -4 })),
  };
  const holdings = async (): Promise<Holdings> => {
    await sleep(SETTLE_MS);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return {
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      daemonMib: Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024,
      processes: groupUsage(pid)!.pids.length,
      temporaries: ['', 'run', 'state', 'logs'].flatMap((name) => readdirSync(join(home.home, name))).filter((name) => name.endsWith('.tmp')).length,
    };
  };
  const order = ['answer', 'stream', 'answer', 'leave', 'answer', 'broken', 'stream', 'unknown', 'answer', 'wrong'];
  const until = async (end: number): Promise<void> => {
    let killAt = performance.now() + Math.min(KILL_EVERY_MS, (end - performance.now()) / 2);
    const client = async (): Promise<void> => {
      for (let i = 0; performance.now() < end; i += 1) {
        const kind = order[i % order.length]!;
        const ended = await kinds[kind]!().then(String, () => 'cut');
        faults[`${kind}: ${ended}`] = (faults[`${kind}: ${ended}`] ?? 0) + 1;
        if (performance.now() < killAt) continue;
        killAt = performance.now() + KILL_EVERY_MS;
        const engine = groupUsage(pid)!.pids.at(-1)!;
        if (engine !== pid) process.kill(engine, 'SIGKILL');
        faults['engine killed'] = (faults['engine killed'] ?? 0) + 1;
        onProgress(`${requests} requests, an engine was killed`);
      }
    };
    await Promise.all(Array.from({ length: 4 }, client));
    await send(body());
  };
  const start = performance.now();
  await until(start + minutes * 6_000);
  const first = await holdings();
  onProgress(JSON.stringify(first));
  await until(start + minutes * 60_000);
  return { minutes, requests, faults, first, last: await holdings() };
}

/** What may grow: a pool of idle connections, and the heap within its usual play. */
export const keepsBounds = ({ first, last }: FaultSoakReport): boolean =>
  last.descriptors <= first.descriptors + 8 && last.processes <= first.processes && last.temporaries === 0 && last.daemonMib < first.daemonMib * 1.25;
