import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DAEMON_ENVIRONMENT, DAEMON_FLAGS } from '../../src/app/daemon/small-memory.ts';

/** A server under measurement, and all processes that it consists of. */
export interface Side extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly model: string;
  /** From its start to its first good answer. */
  readonly readyMs: number;
  /** Resident memory of all its processes. */
  residentMib(): number;
  /** Processor time that they have taken so far. */
  cpuMs(): number;
  /** Begins to watch its event loop, or tells what loop-lag.mjs saw since, and stops; for hearth alone. */
  ask(): Promise<Record<string, number>>;
  /** Why it is gone, with its last words; null while it runs. */
  ended(): string | null;
}

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly errors: number;
  readonly lastError: string;
  readonly first: Readonly<Record<'p50' | 'p90' | 'p99', number>>;
  readonly end: Readonly<Record<'p50' | 'p90' | 'p99', number>>;
  /** Processor time of the side for each request, in milliseconds. */
  readonly cpuMsPerRequest: number;
}

const root = join(import.meta.dirname, '../..');
const here = import.meta.dirname;

/** The clients, in a process of their own. */
export async function load(
  side: Side,
  options: {
    readonly clients: number;
    readonly seconds: number;
    readonly warmUp?: number;
    readonly stream?: boolean;
    readonly rate?: number;
    readonly tokens?: number;
  },
): Promise<LoadResult> {
  const args = [
    join(here, 'load.ts'),
    '--port',
    String(side.port),
    '--model',
    side.model,
    '--clients',
    String(options.clients),
    '--seconds',
    String(options.seconds),
  ];
  args.push('--warmup', String(options.warmUp ?? 1), '--key', 'sk-bench', '--tokens', String(options.tokens ?? 16));
  if (options.stream) args.push('--stream');
  if (options.rate !== undefined) args.push('--rate', String(options.rate));
  const before = side.cpuMs();
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  await once(child, 'close');
  const result = JSON.parse(text) as Omit<LoadResult, 'cpuMsPerRequest'>;
  const all = (result.requests * (result.seconds + (options.warmUp ?? 1))) / result.seconds;
  return { ...result, cpuMsPerRequest: (side.cpuMs() - before) / all };
}

export async function startMock(firstMs: number, tokens: number): Promise<Side> {
  const program = await startProgram(process.execPath, [join(here, 'mock-upstream.ts'), '--first-ms', String(firstMs), '--tokens', String(tokens)]);
  return side('mock itself', program, (await program.line())['port'] as number, 'mock');
}

/** Watches the event loop between two SIGUSR2. Plain JavaScript: with a source in TypeScript the daemon would hold the compiler as well. */
const WATCHED = ['--import', join(here, 'loop-lag.mjs')];

/** The daemon of a built package as `hearth up` and services start it, with the mock behind it. */
export async function startHearth(packageDirectory: string, mock: Side): Promise<Side> {
  const home = await mkdtemp(join(tmpdir(), 'hearth_bench_'));
  mkdirSync(join(home, 'home'), { mode: 0o700 });
  const remotes = { mock: { kind: 'openai', baseUrl: `http://127.0.0.1:${mock.port}/v1`, models: ['mock'], privacy: 'local' } };
  writeFileSync(join(home, 'home', 'config.json'), JSON.stringify({ version: 1, remotes }), { mode: 0o600 });
  const port = await freePort();
  const env = {
    ...process.env,
    ...DAEMON_ENVIRONMENT,
    HOME: home,
    HEARTH_HOME: join(home, 'home'),
    HF_HOME: join(home, 'hf'),
    HEARTH_GATEWAY_PORT: String(port),
    HEARTH_LOG_LEVEL: 'info',
  };
  const program = await startProgram(process.execPath, [...DAEMON_FLAGS, ...WATCHED, join(packageDirectory, 'bin/hearthd.js'), '--service'], {
    env,
    quiet: true,
  });
  return side('hearth', program, port, 'mock/mock', () => rm(home, { recursive: true, force: true }));
}

export const litellmProgram = (): string | null => {
  const path = [join(root, '.env-peers/litellm/bin/litellm'), join(root, '.env-peers/bin/litellm')].find(existsSync);
  return path ?? null;
};

export async function startLitellm(mock: Side): Promise<Side> {
  const directory = await mkdtemp(join(tmpdir(), 'litellm_bench_'));
  const config = join(directory, 'config.yaml');
  writeFileSync(
    config,
    [
      'model_list:',
      '  - model_name: mock',
      '    litellm_params:',
      '      model: openai/mock',
      `      api_base: http://127.0.0.1:${mock.port}/v1`,
      '      api_key: sk-bench',
      'general_settings:',
      '  dangerously_permit_weak_or_unset_master_key: true',
      'litellm_settings:',
      '  telemetry: false',
      '  drop_params: true',
      '',
    ].join('\n'),
  );
  const port = await freePort();
  const program = await startProgram(litellmProgram()!, ['--config', config, '--port', String(port), '--host', '127.0.0.1', '--num_workers', '1'], {
    env: { ...process.env, LITELLM_LOG: 'ERROR', LITELLM_LOCAL_MODEL_COST_MAP: 'True', NO_PROXY: '127.0.0.1' },
    quiet: true,
  });
  return side('litellm', program, port, 'mock', () => rm(directory, { recursive: true, force: true }));
}

export const nginxProgram = (): string | null => {
  const found = spawnSync('sh', ['-c', 'command -v nginx'], { encoding: 'utf8' }).stdout.trim();
  return found === '' ? null : found;
};

/** A plain reverse proxy: what passing bytes on costs at least. */
export async function startNginx(mock: Side): Promise<Side> {
  const directory = await mkdtemp(join(tmpdir(), 'nginx_bench_'));
  const port = await freePort();
  writeFileSync(
    join(directory, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${directory}/nginx.pid; error_log ${directory}/error.log;
events { worker_connections 4096; }
http { access_log off; client_body_temp_path ${directory}/b; proxy_temp_path ${directory}/p; fastcgi_temp_path ${directory}/f; uwsgi_temp_path ${directory}/u; scgi_temp_path ${directory}/s;
upstream mock { server 127.0.0.1:${mock.port}; keepalive 512; }
server { listen 127.0.0.1:${port}; keepalive_requests 1000000; location / { proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }
`,
  );
  const program = await startProgram(nginxProgram()!, ['-c', join(directory, 'nginx.conf'), '-p', directory], { quiet: true });
  return side('nginx', program, port, 'mock', () => rm(directory, { recursive: true, force: true }));
}

interface Program {
  readonly child: ChildProcess;
  readonly startedAt: number;
  ended(): string | null;
  line(): Promise<Record<string, number>>;
}

async function startProgram(
  command: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly quiet?: boolean } = {},
): Promise<Program> {
  const startedAt = performance.now();
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', options.quiet ? 'pipe' : 'inherit'], ...(options.env ? { env: options.env } : {}) });
  await once(child, 'spawn');
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    said = (said + piece).slice(-2_000);
  });
  let ended: string | null = null;
  child.once('exit', (code, signal) => {
    ended = `ended ${signal === null ? `with code ${code}` : `by ${signal}`}`;
  });
  let text = '';
  const waiting: ((line: string) => void)[] = [];
  child.stdout!.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
    if (waiting.length === 0 && options.quiet) text = '';
    for (let end = text.indexOf('\n'); end >= 0 && waiting.length > 0; end = text.indexOf('\n')) {
      waiting.shift()!(text.slice(0, end));
      text = text.slice(end + 1);
    }
  });
  return {
    child,
    startedAt,
    ended: () => (ended === null ? null : [ended, lastLine(said)].filter((part) => part !== '').join(': ')),
    line: () =>
      new Promise((resolve, reject) => {
        waiting.push((line) => resolve(JSON.parse(line) as Record<string, number>));
        child.once('exit', (code) => reject(new Error(`${command} ended with ${code}`)));
      }),
  };
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)!.slice(0, 300);

async function side(name: string, program: Program, port: number, model: string, clean: () => Promise<void> = async () => {}): Promise<Side> {
  const { child, startedAt, ended } = program;
  const until = performance.now() + 300_000;
  for (;;) {
    if (ended() !== null) throw new Error(`${name} ${ended()} while it started`);
    if (performance.now() > until) throw new Error(`${name} gave no answer within 300 s`);
    const reply = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer sk-bench' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }], max_tokens: 4 }),
    }).catch(() => null);
    const text = await reply?.text().catch(() => '');
    if (reply?.ok && text?.includes('tok')) break;
    if (reply?.status === 404) {
      child.kill('SIGKILL');
      throw new Error(`${name} knows no model ${model}: ${text?.slice(0, 200)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const readyMs = performance.now() - startedAt;
  const processes = (): number[] => [child.pid!, ...childrenOf(child.pid!)];
  return {
    name,
    port,
    model,
    readyMs,
    ended,
    residentMib: () => (ended() === null ? processes().reduce((sum, pid) => sum + residentMibOf(pid), 0) : Number.NaN),
    cpuMs: () => processes().reduce((sum, pid) => sum + cpuOf(pid), 0),
    ask() {
      const line = program.line();
      child.kill('SIGUSR2');
      return line;
    },
    async [Symbol.asyncDispose]() {
      const gone = ended() === null ? once(child, 'exit') : Promise.resolve();
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await gone;
      clearTimeout(late);
      await clean();
    },
  };
}

const residentMibOf = (pid: number): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

function childrenOf(pid: number): number[] {
  try {
    const own = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);
    return own.flatMap((child) => [child, ...childrenOf(child)]);
  } catch {
    return [];
  }
}

/** Processor time of a process in milliseconds; clock ticks are hundredths of a second on Linux. */
export function cpuOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return 0;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
