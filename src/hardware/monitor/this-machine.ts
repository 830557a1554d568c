import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { MonitorSources } from './sample.ts';

/** The real files and programs. */
export const thisMachine: MonitorSources = {
  platform: process.platform,
  readText: (path) => readFile(path, 'utf8').catch(() => null),
  run: (file, args, timeoutMs) =>
    promisify(execFile)(file, [...args], { timeout: timeoutMs, killSignal: 'SIGKILL' }).then(
      ({ stdout }) => stdout,
      () => null,
    ),
};
