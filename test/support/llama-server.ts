import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const root = join(import.meta.dirname, '../..');
const python = join(root, '.env-peers/bin/python');

/** Why llama.cpp's own server cannot be asked here; null: it can. */
export function noLlamaServer(gguf: string | undefined): string | null {
  if (gguf === undefined) return 'HEARTH_TEST_SMOLLM2_GGUF does not name the weights';
  return existsSync(python) ? null : 'llama.cpp is not there: npm run bench:peers fetches it';
}

export interface LlamaServer extends AsyncDisposable {
  readonly url: string;
}

/** llama.cpp's HTTP server in a process of its own. */
export async function startLlamaServer(gguf: string): Promise<LlamaServer> {
  const child = spawn(python, [join(root, 'bench/peers/llama_server.py'), gguf, '1', '2048', '2'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const ended = once(child, 'exit');
  const [line] = (await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended.then(() => Promise.reject(new Error('it ended')))])) as [
    string,
  ];
  return {
    url: (JSON.parse(line) as { url: string }).url,
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}
