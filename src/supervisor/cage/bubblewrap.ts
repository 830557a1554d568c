import { lstatSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessSpec } from '../process-spec.ts';
import type { Argv, Cage } from './cage.ts';
import { seccompFilter } from './seccomp.ts';

/** Where the filter of system calls is read from; 0 … 3 are the child's own. */
const FILTER_DESCRIPTOR = 4;
/** Links of a merged file system are made again as links, directories are shown. */
const SYSTEM = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/nix/store', '/gnu/store'];
/** What the dynamic linker and the C library look up. */
const SYSTEM_FILES = ['/etc/ld.so.cache', '/etc/ld.so.conf', '/etc/ld.so.conf.d', '/etc/alternatives', '/etc/localtime', '/sys/devices/system/cpu'];
const GPU_DEVICES = ['/dev/dri', '/dev/kfd', '/dev/nvidia0', '/dev/nvidiactl', '/dev/nvidia-uvm', '/dev/nvidia-modeset'];

export interface BubblewrapOptions {
  /** Absolute path of `bwrap`. */
  readonly program: string;
  readonly outer: string | null;
}

/**
 * User, process, IPC, host name and network namespaces of its own; a root of nothing but the system, the program and the files that the
 * ProcessSpec names, all read-only but its write paths; no home, no capabilities, a filter of system calls. There is nothing to write to:
 * not even a temporary directory.
 */
export function createBubblewrap({ program, outer }: BubblewrapOptions): Cage {
  const filter = seccompFilter();
  return {
    kind: 'bubblewrap',
    strength: 'strong',
    detail: `no network, no home, read-only files of its model and program, own processes${filter === null ? '' : ', filtered system calls'}`,
    reason: null,
    outer,
    nested: true,
    wrap(argv, spec, { mainThread }) {
      const args = [...bubblewrapArguments(argv[0], spec, mainThread), ...(filter === null ? [] : ['--seccomp', String(FILTER_DESCRIPTOR)])];
      return {
        argv: [program, ...args, '--', ...argv],
        ...(filter === null ? {} : { feed: { descriptor: FILTER_DESCRIPTOR, bytes: filter } }),
      };
    },
  };
}

/** Only the options that releases since 0.4 know. Later mounts lie over earlier ones, so the shown files come after the empty places. */
export function bubblewrapArguments(command: string, spec: Pick<ProcessSpec, 'readPaths' | 'writePaths' | 'devices' | 'cwd'>, mainThread: boolean): string[] {
  const shown = new Set([command, realPath(command), spec.cwd, ...spec.readPaths.flatMap(withLinkTargets)]);
  const writable = new Set(spec.writePaths);
  return [
    ...['--unshare-user', '--unshare-pid', '--unshare-ipc', '--unshare-net', '--unshare-uts', '--hostname', 'hearth', '--cap-drop', 'ALL'],
    ...(mainThread ? ['--die-with-parent'] : []),
    ...SYSTEM.flatMap(showSystem),
    ...SYSTEM_FILES.flatMap((path) => ['--ro-bind-try', path, path]),
    ...['--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp'],
    ...(spec.devices === 'gpu' ? ['--ro-bind-try', '/sys', '/sys', ...GPU_DEVICES.flatMap((path) => ['--dev-bind-try', path, path])] : []),
    ...[...shown].filter((path) => !isSystem(path) && !writable.has(path)).flatMap((path) => ['--ro-bind-try', path, path]),
    ...[...writable].flatMap((path) => ['--bind', path, path]),
    // Settings of the kernel below /proc/sys ask no right of a process whose user is root of the machine: the mode of the file is all.
    ...['/proc', '/dev', '/tmp', '/'].flatMap((path) => ['--remount-ro', path]),
    ...['--chdir', spec.cwd],
  ];
}

function showSystem(path: string): string[] {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return [];
  return facts.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
}

/** Shown already, or the whole machine, which is never shown. */
const isSystem = (path: string): boolean => path === '/' || SYSTEM.some((root) => path.startsWith(`${root}/`));

/** A path with the files that links right inside it lead to: a view directory holds nothing but such links. */
function withLinkTargets(path: string): string[] {
  const real = realPath(path);
  try {
    const links = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isSymbolicLink());
    return [path, real, ...links.map(({ name }) => realPath(join(path, name))).filter((target) => !target.startsWith(join(real, '/')))];
  } catch {
    return [path, real];
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Whether it works here with this Node: a command that ends at once with 0. */
export const bubblewrapProbe = (program: string, command: string): Argv => {
  const spec = { readPaths: [], writePaths: [], devices: 'none', cwd: '/' } as const;
  return [program, ...bubblewrapArguments(command, spec, false), '--', command, '--version'];
};
