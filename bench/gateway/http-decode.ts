// What decoding costs over HTTP: hearth beside the bare engine, and beside llama.cpp's own server, with the same weights.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startRunner } from '../ember-runner.ts';
import { interleave, median, type Row, ratio, type Verdict } from '../measure.ts';
import { type BenchmarkModel, benchmarkModels } from '../models.ts';
import { ensurePeers } from '../peers/peer-process.ts';
import { servedPort } from '../served-port.ts';
import { cpuOf } from './sides.ts';

const root = join(import.meta.dirname, '../..');
const THREADS = 2;
const TOKENS = 64;
const MODEL = 'bench/model';
const agent = new Agent({ keepAlive: true });

interface Server extends AsyncDisposable {
  readonly url: string;
  readonly model: string;
  readonly pid: number;
}

/** The daemon in a home of its own, with the model loaded. */
async function startHearth(packageDirectory: string, directory: string): Promise<Server> {
  const home = await mkdtemp(join(tmpdir(), 'hearth_bench_'));
  const repository = join(home, 'hf/hub', `models--${MODEL.replace('/', '--')}`);
  const commit = '0'.repeat(40);
  mkdirSync(join(repository, 'refs'), { recursive: true });
  cpSync(directory, join(repository, 'snapshots', commit), { recursive: true });
  writeFileSync(join(repository, 'refs/main'), commit);
  mkdirSync(join(home, 'home'), { mode: 0o700 });
  const config = { version: 1, engines: { ember: { threads: THREADS } }, gateway: { parallelSequences: 8, contextTokens: 4096 } };
  writeFileSync(join(home, 'home/config.json'), JSON.stringify(config), { mode: 0o600 });
  const env = { ...process.env, HOME: home, HEARTH_HOME: join(home, 'home'), HF_HOME: join(home, 'hf') };
  const program = join(packageDirectory, 'bin/hearth.js');
  const child = spawn(process.execPath, [program, 'serve', '--port', '0', '--model', MODEL, '--json'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`hearth serve ended with ${code}: ${text}`)));
    child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      if (/\n\}\n/.test(text)) resolve();
    });
  });
  const port = servedPort(text);
  return {
    url: `http://127.0.0.1:${port}`,
    model: MODEL,
    pid: child.pid!,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function startLlama(gguf: string): Promise<Server> {
  const program = join(import.meta.dirname, '../peers/llama_server.py');
  const child = spawn(join(root, '.env-peers/bin/python'), [program, gguf, String(THREADS), '4096', '8'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return {
    url: (JSON.parse(line) as { url: string }).url,
    model: 'smollm2',
    pid: child.pid!,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
  };
}

interface Streamed {
  readonly firstAt: number;
  readonly lastAt: number;
  readonly tokens: number;
}

/** One streamed answer, read by as little code as will do: the first and the last piece of text, and how many tokens the server counted. */
function stream({ url, model }: Server, topic: number): Promise<Streamed> {
  const body = JSON.stringify({
    model,
    messages: [{ role: 'user', content: `Write a long story about traveller number ${topic} and a lighthouse.` }],
    max_tokens: TOKENS,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  return new Promise((resolve, reject) => {
    const call = request(`${url}/v1/chat/completions`, { method: 'POST', agent, headers: { 'content-type': 'application/json' } }, (reply) => {
      let firstAt = 0;
      let lastAt = 0;
      let tail = '';
      reply.setEncoding('utf8').on('data', (piece: string) => {
        if (piece.includes('"content":"')) {
          lastAt = performance.now();
          if (firstAt === 0) firstAt = lastAt;
        }
        tail = (tail + piece).slice(-4096);
      });
      reply.once('error', reject);
      reply.once('end', () => {
        const tokens = Number(/"completion_tokens":\s*(\d+)/.exec(tail)?.[1]);
        if (reply.statusCode !== 200 || !(tokens > 1) || firstAt === 0) reject(new Error(`${reply.statusCode}: ${tail}`));
        else resolve({ firstAt, lastAt, tokens });
      });
    });
    call.once('error', reject);
    call.end(body);
  });
}

/** Tokens a second of all streams together, from the first one's first token on. */
async function rate(server: Server, streams: number): Promise<number> {
  const answers = await Promise.all(Array.from({ length: streams }, (_, i) => stream(server, i)));
  const from = Math.min(...answers.map(({ firstAt }) => firstAt));
  const to = Math.max(...answers.map(({ lastAt }) => lastAt));
  return (1000 * answers.reduce((sum, { tokens }) => sum + tokens - 1, 0)) / (to - from);
}

const LLAMA = 'llama.cpp’s server, Q4_1';
const HEARTH = 'hearth over HTTP';
const BARE = 'bare ember';

export interface HttpDecode {
  readonly tables: readonly { readonly title: string; readonly rows: readonly Row[] }[];
  readonly verdicts: readonly Verdict[];
  readonly note: string;
}

/** SmolLM2-135M over HTTP at 1 and 8 streams, beside llama.cpp's server too, and the 1B shape at one. */
export async function measureHttpDecode(packageDirectory: string, rounds: number): Promise<HttpDecode> {
  ensurePeers();
  const models = await benchmarkModels();
  const [small, billion] = (['smollm2', '1b'] as const).map((id) => models.find((model) => model.id === id)!) as [BenchmarkModel, BenchmarkModel];
  const daemonMs: number[] = [];
  const rows = await measureModel({ packageDirectory, directory: small.directory, gguf: small.q41, streams: [1, 8], rounds, daemonMs });
  const billionRows = await measureModel({ packageDirectory, directory: billion.directory, gguf: null, streams: [1], rounds, daemonMs: [] });
  const verdicts: Verdict[] = [
    { id: '–', what: 'SmolLM2, 1 stream: decode over HTTP ÷ bare ember', value: ratio(rows[0]!, BARE), bar: 0.95 },
    { id: '–', what: 'SmolLM2, 8 streams: decode over HTTP ÷ bare ember', value: ratio(rows[1]!, BARE), bar: 0.9 },
    { id: '–', what: '1B shape, 1 stream: decode over HTTP ÷ bare ember', value: ratio(billionRows[0]!, BARE), bar: 0.95 },
    { id: '–', what: 'SmolLM2, 1 stream: hearth ÷ llama.cpp’s server', value: ratio(rows[0]!, LLAMA), bar: 1.2 },
    { id: '–', what: 'SmolLM2, 8 streams: hearth ÷ llama.cpp’s server', value: ratio(rows[1]!, LLAMA), bar: 1.5 },
  ];
  return {
    tables: [
      { title: 'SmolLM2-135M, the same weights', rows },
      { title: '1B shape, random weights, 4 bit', rows: billionRows },
    ],
    verdicts,
    note: `The daemon itself took ${median(daemonMs).toFixed(2)} ms of the processor for each token of one stream of SmolLM2 (clock ticks of 10 ms).`,
  };
}

interface Measured {
  readonly packageDirectory: string;
  readonly directory: string;
  /** For llama.cpp; null: it is left out. */
  readonly gguf: string | null;
  readonly streams: readonly number[];
  readonly rounds: number;
  /** Gets the daemon's processor time for each token of one stream. */
  readonly daemonMs: number[];
}

async function measureModel({ packageDirectory, directory, gguf, streams, rounds, daemonMs }: Measured): Promise<Row[]> {
  await using bare = await startRunner(directory, { ranks: THREADS, activations: 'mixed', contextTokens: 4096 });
  await using hearth = await startHearth(packageDirectory, directory);
  await using llama = gguf === null ? null : await startLlama(gguf);
  const rows: Row[] = [];
  for (const count of streams) {
    // The prompt has some 40 tokens: both decode behind as many cells.
    const row = await interleave(
      `decode, ${count} ${count === 1 ? 'stream' : 'streams, total'}`,
      {
        [HEARTH]: async () => {
          const before = cpuOf(hearth.pid);
          const result = await rate(hearth, count);
          if (count === 1) daemonMs.push((cpuOf(hearth.pid) - before) / TOKENS);
          return result;
        },
        [BARE]: async () => (count * TOKENS) / (await bare.decode(TOKENS, { depth: 40, streams: count })),
        ...(llama === null ? {} : { [LLAMA]: () => rate(llama, count) }),
      },
      { rounds },
    );
    rows.push(row);
  }
  return rows;
}
