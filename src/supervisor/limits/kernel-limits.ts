import { existsSync, readFileSync } from 'node:fs';
import type { Argv } from '../cage/cage.ts';
import type { ProcessLimits } from './process-limits.ts';

/** The first layer of limits: what the kernel itself holds a process to. */
export interface KernelLimits {
  readonly kind: 'systemd-scope' | 'rlimit';
  /** Puts the limits in front of a program; both tools replace themselves by it. */
  wrap(argv: Argv, limits: ProcessLimits): Argv;
  /** Variables that the tool needs, and takes away from the program again. */
  readonly environment: Readonly<Record<string, string>>;
}

/** A limit as the kernel tells it of a running process. */
export interface HeldLimit {
  /** `rlimit:core`, `cgroup:memory.max`. */
  readonly name: string;
  readonly value: number;
}

/** What a process may have open; its own needs are some dozen. */
const OPEN_FILES = 4096;
const FILE_BYTES = 64 * 1024 ** 2;
/** V8 sets room aside for the code of each thread that runs JavaScript. */
const CODE_BYTES = 512 * 1024 ** 2;
/** Writable memory that is not touched counts too, so this is only a last wall, far behind the limit of resident memory. */
const dataBytes = ({ memoryBytes, threads }: ProcessLimits): number => 2 * memoryBytes + 4 * 1024 ** 3 + threads * CODE_BYTES;

/** prlimit of util-linux. A limit above the hard one of this process would be refused, so it is lowered to that. */
export const createRlimits = (prlimit: string, hard: Readonly<Record<string, number>> = hardLimits()): KernelLimits => ({
  kind: 'rlimit',
  environment: {},
  wrap(argv, limits) {
    const { cpuMs } = limits;
    const pair = (name: string, soft: number, extra = 0): string => {
      const most = hard[name] ?? Number.POSITIVE_INFINITY;
      return `--${name}=${Math.min(soft, most)}:${Math.min(soft + extra, most)}`;
    };
    const cpu = cpuMs === undefined ? [] : [pair('cpu', Math.ceil(cpuMs / 1000) + 1, 5)];
    return [prlimit, pair('core', 0), pair('nofile', OPEN_FILES), pair('fsize', FILE_BYTES), pair('data', dataBytes(limits)), ...cpu, '--', ...argv];
  },
});

/** A scope of the user's systemd, which makes a control group for it. `env` takes the variables of its bus away from the program. */
export const createSystemdScope = (run: string, env: string, bus: Readonly<Record<string, string>>): KernelLimits => ({
  kind: 'systemd-scope',
  environment: bus,
  wrap(argv, { memoryBytes, threads, wallMs }) {
    const properties = [
      `MemoryMax=${memoryBytes}`,
      'MemorySwapMax=0',
      `TasksMax=${threads}`,
      ...(wallMs === undefined ? [] : [`RuntimeMaxSec=${Math.ceil(wallMs / 1000)}`]),
    ];
    const hidden = Object.keys(bus).flatMap((name) => ['-u', name]);
    const scope = ['--user', '--scope', '--quiet', '--collect', ...properties.flatMap((property) => ['-p', property])];
    return [run, ...scope, '--', env, ...hidden, ...argv];
  },
});

export interface KernelLimitsOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly find: (name: string) => string | null;
  /** Whether a command ends with 0. */
  readonly works: (argv: Argv, environment: Readonly<Record<string, string>>) => Promise<boolean>;
}

/** What works here: a scope where the user has a manager, else the limits of the process itself, else nothing. */
export async function chooseKernelLimits({ environment, find, works }: KernelLimitsOptions): Promise<KernelLimits | null> {
  const runtime = environment['XDG_RUNTIME_DIR'];
  const [run, env, prlimit] = [find('systemd-run'), find('env'), find('prlimit')];
  if (run !== null && env !== null && runtime !== undefined && existsSync(`${runtime}/systemd/private`)) {
    const address = environment['DBUS_SESSION_BUS_ADDRESS'];
    const bus = { XDG_RUNTIME_DIR: runtime, ...(address === undefined ? {} : { DBUS_SESSION_BUS_ADDRESS: address }) };
    if (await works([run, '--user', '--scope', '--quiet', '--collect', '--', env, 'true'], bus)) return createSystemdScope(run, env, bus);
  }
  return prlimit === null ? null : createRlimits(prlimit);
}

const RLIMITS: Readonly<Record<string, string>> = {
  core: 'Max core file size',
  nofile: 'Max open files',
  fsize: 'Max file size',
  data: 'Max data size',
  cpu: 'Max cpu time',
};

function limitsText(pid: number | 'self'): string {
  try {
    return readFileSync(`/proc/${pid}/limits`, 'latin1');
  } catch {
    return '';
  }
}

function hardLimits(): Record<string, number> {
  const text = limitsText('self');
  const hard = (title: string): number => Number(new RegExp(`^${title}\\s+\\S+\\s+(\\d+)`, 'm').exec(text)?.[1] ?? Number.POSITIVE_INFINITY);
  return Object.fromEntries(Object.entries(RLIMITS).map(([name, title]) => [name, hard(title)]));
}

/** What the kernel says that it holds the process to, read from /proc and its control group; unlimited ones are left out. */
export function heldLimits(pid: number): readonly HeldLimit[] {
  const text = limitsText(pid);
  const soft = Object.entries(RLIMITS).flatMap(([name, title]) => {
    const value = new RegExp(`^${title}\\s+(\\d+)`, 'm').exec(text)?.[1];
    return value === undefined ? [] : [{ name: `rlimit:${name}`, value: Number(value) }];
  });
  return [...soft, ...groupLimits(pid)];
}

/** Limits of its control group of version 2. */
function groupLimits(pid: number): HeldLimit[] {
  try {
    const path = /^0::(\/.+)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1];
    if (path === undefined) return [];
    return ['memory.max', 'pids.max'].flatMap((name) => {
      const value = Number(readFileSync(`/sys/fs/cgroup${path}/${name}`, 'utf8').trim());
      return Number.isFinite(value) ? [{ name: `cgroup:${name}`, value }] : [];
    });
  } catch {
    return [];
  }
}
