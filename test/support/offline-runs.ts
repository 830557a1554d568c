/*
 * Runs command lines one after another and prints what each said and what the kernel counted meanwhile, as one JSON document. It is meant to
 * be started in a network namespace of its own: there every attempt of any process to reach out is in the kernel's counters.
 * Argument: a JSON file with { program, runs: [{ name, args, env?, stdin?, cwd?, serve?: { socket, requests } }] }.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { request } from 'node:http';

interface Run {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly stdin?: string;
  /** Requests over the Unix socket once the command has said that it serves; then it is ended. */
  readonly serve?: { readonly socket: string; readonly requests: readonly { readonly method: string; readonly path: string; readonly body?: unknown }[] };
  /** Not the product but a script: shows that the counters move. */
  readonly script?: string;
}

export interface OfflineResult {
  readonly name: string;
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Datagrams sent, connections opened, and packets that had no way out. */
  readonly attempts: number;
  readonly answers: readonly { readonly status: number; readonly body: string }[];
  /** Local addresses of listening TCP sockets, in hex as the kernel prints them. */
  readonly listeners: readonly string[];
  /** Command line and environment of each engine process. */
  readonly workers: readonly { readonly command: string; readonly environment: readonly string[] }[];
}

function attempts(): number {
  const rows = readFileSync('/proc/net/snmp', 'utf8').split('\n');
  const value = (table: string, name: string): number => {
    const [names, values] = rows.filter((row) => row.startsWith(`${table}:`)).map((row) => row.split(' '));
    return Number(values![names!.indexOf(name)]);
  };
  return value('Ip', 'OutNoRoutes') + value('Ip', 'OutRequests') + value('Tcp', 'ActiveOpens') + value('Udp', 'OutDatagrams');
}

const listening = (): string[] =>
  ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((row) => row.trim().split(/\s+/))
      .filter((row) => row[3] === '0A')
      .map((row) => row[1]!.split(':')[0]!),
  );

function workers(): OfflineResult['workers'] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        // Only processes of this namespace.
        if (readlinkSync(`/proc/${pid}/ns/net`) !== readlinkSync('/proc/self/ns/net')) return [];
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return command.includes('--model-directory')
          ? [{ command, environment: readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean) }]
          : [];
      } catch {
        return [];
      }
    });
}

function ask(socket: string, wanted: { readonly method: string; readonly path: string; readonly body?: unknown }): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      { socketPath: socket, method: wanted.method, path: wanted.path, headers: { host: 'localhost', 'content-type': 'application/json' } },
      (response) => {
        let body = '';
        response.on('data', (piece) => {
          body += String(piece);
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      },
    );
    call.on('error', reject);
    call.end(wanted.body === undefined ? '' : JSON.stringify(wanted.body));
  });
}

async function one(program: string, run: Run): Promise<OfflineResult> {
  const before = attempts();
  const words = run.script === undefined ? [program, ...run.args] : ['-e', run.script];
  const child = spawn(process.execPath, words, { env: run.env, cwd: run.cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  let ready = Promise.withResolvers<void>();
  child.stdout.on('data', (piece) => {
    stdout += String(piece);
    if (stdout.includes('\n}\n')) ready.resolve();
  });
  child.stderr.on('data', (piece) => {
    stderr += String(piece);
  });
  child.stdin.on('error', () => {});
  child.stdin.end(run.stdin ?? '');
  const ended = new Promise<number | null>((done) => child.on('close', done));
  const answers: { status: number; body: string }[] = [];
  let seen: { listeners: string[]; workers: OfflineResult['workers'] } = { listeners: [], workers: [] };
  if (run.serve !== undefined) {
    await Promise.race([ready.promise, ended]);
    for (const wanted of run.serve.requests) answers.push(await ask(run.serve.socket, wanted).catch((error: unknown) => ({ status: 0, body: String(error) })));
    seen = { listeners: listening(), workers: workers() };
    child.kill('SIGTERM');
  }
  const code = await ended;
  ready = Promise.withResolvers();
  return { name: run.name, code, stdout, stderr, attempts: attempts() - before, answers, ...seen };
}

const { program, runs } = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as { program: string; runs: Run[] };
const results: OfflineResult[] = [];
for (const run of runs) results.push(await one(program, run));
process.stdout.write(JSON.stringify(results));
