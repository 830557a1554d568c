import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { bootId } from '../core/index.ts';

/** What tells one process from another that has the same number. */
export interface ProcessIdentity {
  /** Field 22 of `/proc/PID/stat` (clock ticks since the boot), or `ps -o lstart` elsewhere. */
  readonly startTime: string;
  readonly uid: number;
  /** Its argument vector, joined by blanks where the system gives no better. */
  readonly commandLine: string;
}

/** Facts of the processes of this machine; injected, so that a test can give a number to another process. */
export interface ProcessTable {
  /** null when no such process runs; one that only waits to be reaped does not. */
  identify(pid: number): ProcessIdentity | null;
  /** Another one after each start of the machine. */
  bootId(): string;
}

function identifyLinux(pid: number): ProcessIdentity | null {
  try {
    // The name in brackets may hold anything, also brackets and blanks.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '');
    const fields = stat.split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return null;
    return {
      startTime: fields[19] ?? '',
      uid: statSync(`/proc/${pid}`).uid,
      commandLine: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '),
    };
  } catch {
    return null;
  }
}

function identifyPs(pid: number): ProcessIdentity | null {
  const line = read(() => execFileSync('/bin/ps', ['-o', 'lstart=,uid=,stat=,args=', '-ww', '-p', String(pid)], PS).trim());
  const match = /^(.{24})\s+(\d+)\s+(\S+)\s+(.*)$/s.exec(line);
  if (match === null || match[3]!.startsWith('Z')) return null;
  return { startTime: match[1]!, uid: Number(match[2]), commandLine: match[4]! };
}

const PS: ExecFileSyncOptionsWithStringEncoding = { encoding: 'utf8', timeout: 5_000, env: { LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'ignore'] };

export const processTable: ProcessTable = process.platform === 'linux' ? { identify: identifyLinux, bootId } : { identify: identifyPs, bootId };

function read(get: () => string): string {
  try {
    return get();
  } catch {
    return '';
  }
}
