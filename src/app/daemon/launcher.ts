import { spawn } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { DaemonLauncher } from '../../client/index.ts';
import { checkManagedFile } from '../../core/index.ts';
import { prepareHome } from './prepare-home.ts';
import { DAEMON_ENVIRONMENT, DAEMON_FLAGS } from './small-memory.ts';
import { socketFetch } from './socket-fetch.ts';
import { socketPath } from './socket-path.ts';

export interface LauncherOptions {
  readonly home: string;
  /** The daemon's whole environment: it reads the same variables as the command line. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A directory of the home was open to other users, and is closed now. */
  readonly onTightened?: (path: string) => void;
}

/** `bin/hearthd.js` of this package: as far from the sources as from the built code. */
const PROGRAM = fileURLToPath(new URL('../../../bin/hearthd.js', import.meta.url));
const LAST_LINES = 20;

/** Starts `hearthd --on-demand` in a session of its own, with what it says in `logs/hearthd.log`. */
export function createDaemonLauncher({ home, env, onTightened = () => {} }: LauncherOptions): DaemonLauncher {
  const socket = socketPath(home, env);
  return {
    fetch: () => (statSync(socket, { throwIfNoEntry: false })?.isSocket() ? socketFetch(socket) : null),
    sleep: (ms) => sleep(ms),
    async launch() {
      prepareHome(home, socket, onTightened);
      const path = join(home, 'logs', 'hearthd.log');
      checkManagedFile(path, onTightened);
      const log = openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      const from = fstatSync(log).size;
      try {
        const child = spawn(process.execPath, [...DAEMON_FLAGS, PROGRAM, '--on-demand'], {
          cwd: home,
          env: { ...DAEMON_ENVIRONMENT, ...env },
          detached: true,
          stdio: ['ignore', log, log],
          windowsHide: true,
        });
        const ended = new Promise<{ code: number | null; lastLines: readonly string[] }>((resolve) => {
          child.once('error', (error) => resolve({ code: null, lastLines: [error.message] }));
          child.once('exit', (code) => resolve({ code, lastLines: linesSince(path, from) }));
        });
        child.unref();
        return { ended };
      } finally {
        closeSync(log);
      }
    },
  };
}

/** What was written to the log since `from`, the last lines of it. */
function linesSince(path: string, from: number): readonly string[] {
  const file = openSync(path, 'r');
  try {
    const size = fstatSync(file).size;
    const start = Math.max(from > size ? 0 : from, size - 64 * 1024);
    const text = Buffer.alloc(size - start);
    readSync(file, text, 0, text.length, start);
    return text.toString('utf8').trimEnd().split('\n').slice(-LAST_LINES);
  } finally {
    closeSync(file);
  }
}
