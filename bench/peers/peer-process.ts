import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const root = join(import.meta.dirname, '../..');
const environment = join(root, '.env-peers');
const requirements = join(import.meta.dirname, 'requirements.txt');

/** Makes the Python environment of the peers, in a folder that git ignores; pinned versions from the package index. */
export function ensurePeers(): void {
  const marker = join(environment, 'installed.txt');
  const wanted = readFileSync(requirements, 'utf8');
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return;
  console.error('Installing the peers (llama.cpp, mlx-lm) into .env-peers …');
  execFileSync('python3', ['-m', 'venv', environment], { stdio: 'inherit' });
  execFileSync(join(environment, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', '-r', requirements], { stdio: 'inherit' });
  writeFileSync(marker, wanted);
}

export interface Peer extends Disposable {
  readonly hello: Record<string, unknown>;
  ask(command: Record<string, unknown>): Promise<Record<string, unknown>>;
}

/** Starts `peers/<program>_peer.py`; it answers one JSON line per command. */
export async function startPeer(program: 'llama' | 'mlx', args: readonly string[]): Promise<Peer> {
  const child: ChildProcess = spawn(join(environment, 'bin/python'), [join(import.meta.dirname, `${program}_peer.py`), ...args], {
    stdio: ['pipe', 'pipe', process.env['HEARTH_BENCH_DEBUG'] ? 'inherit' : 'ignore'],
  });
  const waiting: { resolve: (line: string) => void; reject: (error: Error) => void }[] = [];
  const early: string[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const next = waiting.shift();
    if (next) next.resolve(line);
    else early.push(line);
  });
  child.on('exit', (code) => {
    for (const w of waiting.splice(0)) w.reject(new Error(`${program} ended with ${code}`));
  });
  const read = () => {
    const line = early.shift();
    return line === undefined ? new Promise<string>((resolve, reject) => waiting.push({ resolve, reject })) : Promise.resolve(line);
  };
  const hello = JSON.parse(await read()) as Record<string, unknown>;
  return {
    hello,
    async ask(command) {
      child.stdin!.write(`${JSON.stringify(command)}\n`);
      const reply = JSON.parse(await read()) as Record<string, unknown>;
      if (reply['error']) throw new Error(`${program}: ${String(reply['error'])}`);
      return reply;
    },
    [Symbol.dispose]: () => void child.kill(),
  };
}
