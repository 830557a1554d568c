import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs the real command line in a home and a cache of its own. */
export interface TestHome extends AsyncDisposable {
  readonly home: string;
  readonly hfHome: string;
  readonly directory: string;
  /** Starts `bin/<program>.js` and collects what it says until it ends. */
  run(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts it and leaves it running. It is ended with the home. */
  start(args: readonly string[], options?: RunOptions): Started;
}

export interface RunOptions {
  readonly program?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly cwd?: string;
}

export interface RunResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<RunResult>;
  stdout(): string;
  stderr(): string;
  /** Settles when what was written so far holds the text; rejects when the process ends first. */
  waitFor(stream: 'stdout' | 'stderr', text: string | RegExp): Promise<string>;
}

const root = join(import.meta.dirname, '../..');

/** Environment without anything of the machine that hearth reads. */
function cleanEnvironment(): Record<string, string> {
  const kept = ['PATH', 'TMPDIR', 'LANG', 'NODE_EXTRA_CA_CERTS'];
  return Object.fromEntries(kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]!]])));
}

export async function createTestHome(): Promise<TestHome> {
  const directory = await mkdtemp(join(tmpdir(), 'hearth_test_'));
  const home = join(directory, 'home');
  const hfHome = join(directory, 'hf');
  const running = new Set<Started>();

  function start(args: readonly string[], options: RunOptions = {}): Started {
    const program = options.program?.startsWith('/') ? options.program : join(root, 'bin', `${options.program ?? 'hearth'}.js`);
    const child = spawn(process.execPath, [program, ...args], {
      cwd: options.cwd ?? directory,
      env: { ...cleanEnvironment(), HOME: directory, HEARTH_HOME: home, HF_HOME: hfHome, HF_ENDPOINT: 'http://127.0.0.1:2', ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const texts = { stdout: '', stderr: '' };
    const checks = new Set<() => void>();
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8');
      child[name].on('data', (piece: string) => {
        texts[name] += piece;
        for (const check of [...checks]) check();
      });
    }
    child.stdin.on('error', () => {});
    if (options.stdin !== undefined) child.stdin.end(options.stdin);
    const ended = new Promise<RunResult>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, stdout: texts.stdout, stderr: texts.stderr }));
    });
    const started: Started = {
      child,
      ended,
      stdout: () => texts.stdout,
      stderr: () => texts.stderr,
      waitFor(stream, text) {
        const found = () => (typeof text === 'string' ? texts[stream].includes(text) : text.test(texts[stream]));
        return new Promise((resolve, reject) => {
          const check = () => {
            if (!found()) return;
            checks.delete(check);
            resolve(texts[stream]);
          };
          checks.add(check);
          check();
          void ended.then((result) => reject(new Error(`ended with ${result.code} before ${String(text)}:\n${result.stdout}\n${result.stderr}`)));
        });
      },
    };
    running.add(started);
    void ended.finally(() => running.delete(started)).catch(() => {});
    return started;
  }

  return {
    home,
    hfHome,
    directory,
    start,
    run: (args, options = {}) => start(args, { stdin: '', ...options }).ended,
    async [Symbol.asyncDispose]() {
      for (const started of running) {
        started.child.kill('SIGKILL');
        await started.ended.catch(() => {});
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}
