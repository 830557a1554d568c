import { homedir } from 'node:os';
import { basename } from 'node:path';
import { crashReport } from '../core/index.ts';
import type { ProcessFacts } from './context.ts';
import { runQuickly } from './quick.ts';

// The entry file: the only one that talks to the process.
const interruptListeners = new Set<() => void>();
const terminateListeners = new Set<() => void>();
let terminated = false;

process.on('SIGINT', () => {
  if (interruptListeners.size === 0) process.exit(130);
  for (const listener of [...interruptListeners]) listener();
});
process.on('SIGTERM', () => {
  if (terminateListeners.size === 0) process.exit(143);
  terminated = true;
  for (const listener of [...terminateListeners]) listener();
});
process.on('uncaughtException', (error) => {
  process.stderr.write(crashReport('hearth', error, homedir()));
  process.exit(1);
});
// The reader of our output went away (`| head`): nothing is left to say.
for (const stream of [process.stdout, process.stderr]) stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const listenOn = (set: Set<() => void>) => (listener: () => void) => {
  set.add(listener);
  return () => void set.delete(listener);
};
const facts: ProcessFacts = {
  program: basename(process.argv[1] ?? 'hearth').replace(/\.(js|mjs|cmd|exe)$/, ''),
  argv: process.argv.slice(2),
  env: process.env,
  cwd: process.cwd(),
  userHome: homedir(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  terminal: {
    stdin: process.stdin.isTTY === true,
    stdout: process.stdout.isTTY === true,
    stderr: process.stderr.isTTY === true,
    colour: process.stdout.isTTY === true && (process.env['NO_COLOR'] ?? '') === '',
    columns: process.stderr.columns || process.stdout.columns || 80, // 0 where a terminal does not tell
  },
  onInterrupt: listenOn(interruptListeners),
  onTerminate: listenOn(terminateListeners),
  onHangup(listener) {
    process.on('SIGHUP', listener);
    return () => void process.off('SIGHUP', listener);
  },
  exitNow: (code) => process.exit(code),
};

const exitCode = (await runQuickly(facts)) ?? (await (await import('./run.ts')).runCli(facts));
const flushed = (stream: NodeJS.WriteStream) => new Promise((resolve) => stream.write('', resolve));
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
process.exit(terminated && exitCode === 130 ? 143 : exitCode); // cancelled by SIGTERM, not by Ctrl-C
