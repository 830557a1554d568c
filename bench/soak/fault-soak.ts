import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DAEMON_ENVIRONMENT, DAEMON_FLAGS } from '../../src/app/daemon/small-memory.ts';
import { childrenOf, groupUsage } from '../../src/supervisor/limits/group-usage.ts';
import { createTestHome } from '../../test/support/hearth-process.ts';
import { installTinyModel } from '../../test/support/tiny-model.ts';
import { servedPort } from '../served-port.ts';

/** What a daemon and all that it started hold. */
export interface Holdings {
  readonly descriptors: number;
  /** Objects of the daemon that live: its heap after a collection. What leaks shows here, whatever the collector lets lie. */
  readonly liveMib: number;
  /** Resident memory of the daemon, the least of several looks: between collections it holds garbage too, how much of it is chance. */
  readonly daemonMib: number;
  /** Of all that the daemon started. */
  readonly childrenMib: number;
  readonly processes: number;
  /** Half-written files anywhere in the home or in the directory for temporary files. */
  readonly temporaries: number;
}

export interface FaultSoakReport {
  readonly minutes: number;
  readonly requests: number;
  readonly faults: Readonly<Record<string, number>>;
  /** After a tenth of the time, and at the end: each while both models are loaded and nothing runs. */
  readonly first: Holdings;
  readonly last: Holdings;
}

const MODELS = ['hearth-test/one', 'hearth-test/two'];
/** Each model in turn, so that one of them falls less often than three times in ten minutes, which would be a crash loop. */
const KILL_EVERY_MS = 301_000 / MODELS.length;
const SETTLE_MS = 3_000;
const LOOKS = 5;
/** As `hearth up` starts it, and with a probe of its heap. */
const NODE_OPTIONS = [...DAEMON_FLAGS, '--expose-gc', `--import=${new URL('./heap-probe.ts', import.meta.url).href}`].join(' ');

/** A real daemon with two tiny models: clients that stay, leave, cut and break their requests; unloads; and engines killed as often as is no crash loop. */
export async function soakFaults(minutes: number, onProgress: (line: string) => void = () => {}): Promise<FaultSoakReport> {
  await using home = await createTestHome();
  for (const model of MODELS) await installTinyModel(home.hfHome, model);
  const temporaries = join(home.directory, 'temporary');
  mkdirSync(temporaries);
  const server = home.start(['serve', '--json', '--port', '0', '--model', MODELS[0]!], { env: { TMPDIR: temporaries, ...DAEMON_ENVIRONMENT, NODE_OPTIONS } });
  const port = servedPort(await server.waitFor('stdout', /\n\}\n/));
  const pid = server.child.pid!;
  const faults: Record<string, number> = {};
  let requests = 0;
  const modelOfTurn = (): string => MODELS[requests % MODELS.length]!;
  const body = (more: object = {}): string =>
    JSON.stringify({ model: modelOfTurn(), messages: [{ role: 'user', content: `request ${requests}` }], max_tokens: 8, ...more });
  const send = async (text: string, signal?: AbortSignal): Promise<number> => {
    requests += 1;
    const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: text,
      ...(signal ? { signal } : {}),
    });
    await response.arrayBuffer();
    return response.status;
  };
  const unload = (): Promise<number> => {
    requests += 1;
    return postBySocket(join(home.home, 'run/hearthd.sock'), '/admin/v1/models/unload', JSON.stringify({ model: modelOfTurn(), force: true }));
  };
  const kinds: Readonly<Record<string, () => Promise<unknown>>> = {
    answer: () => send(body()),
    stream: () => send(body({ stream: true })),
    leave: () => send(body({ stream: true, max_tokens: 400 }), AbortSignal.timeout(30)),
    cut: () => sendHalf(port, body()),
    broken: () => send('{"model":'),
    unknown: () => send(JSON.stringify({ model: 'nobody', messages: [{ role: 'user', content: 'x' }] })),
    wrong: () => send(body({ temperature: -4 })),
  };
  const order = ['answer', 'stream', 'answer', 'leave', 'answer', 'broken', 'stream', 'unknown', 'cut', 'wrong'];
  const UNLOAD_EVERY = 500;

  const residentMib = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
  const liveMib = async (): Promise<number> => {
    const told = () => [...server.stdout().matchAll(/\{"liveMib":([\d.]+)\}\n/g)].map(([, mib]) => Number(mib));
    const before = told().length;
    server.child.kill('SIGUSR2');
    while (told().length === before) await sleep(20);
    return told().at(-1)!;
  };
  const holdings = async (): Promise<Holdings> => {
    for (const model of MODELS) while ((await send(body({ model }))) !== 200) await sleep(SETTLE_MS);
    const looks: number[] = [];
    for (let look = 0; look < LOOKS; look += 1) {
      await sleep(SETTLE_MS / LOOKS);
      looks.push(residentMib());
    }
    const group = groupUsage(pid)!;
    const residentNow = residentMib();
    const named = (directory: string): readonly string[] =>
      readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => !name.startsWith('hearth-code-'));
    return {
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      liveMib: await liveMib(),
      daemonMib: Math.min(...looks),
      childrenMib: group.residentBytes / 1024 ** 2 - residentNow,
      processes: group.pids.length,
      temporaries: named(home.home).filter((name) => name.endsWith('.tmp')).length + named(temporaries).length,
    };
  };
  const kill = (): void => {
    // The last of each cage's processes is the program inside; the cages of both models alternate.
    const engines = groupUsage(pid)!.pids.filter((each) => each !== pid && childrenOf(each).length === 0);
    const count = faults['engine killed'] ?? 0;
    const engine = engines[count % engines.length];
    if (engine === undefined) return;
    process.kill(engine, 'SIGKILL');
    faults['engine killed'] = count + 1;
    onProgress(`${requests} requests, an engine was killed`);
  };
  const until = async (end: number): Promise<void> => {
    let killAt = performance.now() + Math.min(KILL_EVERY_MS, (end - performance.now()) / 2);
    const client = async (): Promise<void> => {
      for (let i = 0; performance.now() < end; i += 1) {
        const kind = order[i % order.length]!;
        const ended = await kinds[kind]!().then(String, () => 'cut');
        faults[`${kind}: ${ended}`] = (faults[`${kind}: ${ended}`] ?? 0) + 1;
        if (requests % UNLOAD_EVERY === 0) {
          const ending = `unload: ${await unload()}`;
          faults[ending] = (faults[ending] ?? 0) + 1;
        }
        if (performance.now() < killAt) continue;
        killAt = performance.now() + KILL_EVERY_MS;
        kill();
      }
    };
    await Promise.all(Array.from({ length: 4 }, client));
  };
  const start = performance.now();
  await until(start + minutes * 6_000);
  const first = await holdings();
  onProgress(JSON.stringify(first));
  await until(start + minutes * 60_000);
  return { minutes, requests, faults, first, last: await holdings() };
}

/** What may grow: a pool of idle connections, what is known of the last requests, and the memory of processes within its usual play. */
export const keepsBounds = ({ first, last }: FaultSoakReport): boolean =>
  last.descriptors <= first.descriptors + 8 &&
  last.processes <= first.processes &&
  last.temporaries === 0 &&
  last.liveMib < first.liveMib * 1.1 &&
  last.daemonMib < first.daemonMib * 1.25 &&
  last.childrenMib < first.childrenMib * 1.25;

function postBySocket(socketPath: string, path: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, method: 'POST', headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } });
    sent.on('response', (response) => response.resume().on('end', () => resolve(response.statusCode!)));
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Promises a body and hangs up in the middle of it. */
function sendHalf(port: number, body: string): Promise<never> {
  return new Promise((_, reject) => {
    const sent = request({
      host: '127.0.0.1',
      port,
      path: '/v1/chat/completions',
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    });
    sent.on('error', reject);
    sent.write(body.slice(0, body.length / 2), () => sent.destroy(new Error('left in the middle')));
  });
}
