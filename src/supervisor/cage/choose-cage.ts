import { spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { HearthError } from '../../core/index.ts';
import { bubblewrapProbe, createBubblewrap } from './bubblewrap.ts';
import type { Argv, Cage, SandboxMode } from './cage.ts';
import { createNamespaces, namespacesProbe } from './namespaces.ts';
import { createSandboxExec } from './sandbox-exec.ts';

export interface CageOptions {
  readonly mode: SandboxMode;
  readonly platform?: NodeJS.Platform;
  /** Absolute path of a program of the system, or null. */
  readonly find?: (name: string) => string | null;
  /** Whether a command ends with 0. */
  readonly works?: (argv: Argv) => Promise<boolean>;
  /** The container that this machine seems to be, or null. */
  readonly outer?: string | null;
}

/** The strongest cage that works here, tried by running it once. Throws sandbox_unavailable where a strong one is required and none works. */
export async function chooseCage(options: CageOptions): Promise<Cage> {
  const { mode, platform = process.platform, find = findProgram, works = endsWell } = options;
  const outer = options.outer === undefined ? outerCage(platform) : options.outer;
  if (mode === 'off') return plain({ kind: 'off', strength: 'none', detail: 'none: it was turned off', reason: null, outer, find });
  const [cage, why] = await strongest(platform, find, works, outer);
  const reason = cage?.reason ?? why;
  if (cage !== null && (cage.strength === 'strong' || mode !== 'required')) return cage;
  if (mode === 'required') throw new HearthError('sandbox_unavailable', `No sandbox can be made on this machine: ${reason}.`, { details: { reason } });
  return plain({
    kind: 'permissions',
    strength: 'weak',
    detail: 'the permission model of Node, or the rules that the worker of mlx takes on',
    reason,
    outer,
    find,
  });
}

type Find = NonNullable<CageOptions['find']>;
type Works = NonNullable<CageOptions['works']>;

/** The cage, or null and why not. */
async function strongest(platform: NodeJS.Platform, find: Find, works: Works, outer: string | null): Promise<readonly [Cage | null, string]> {
  if (platform === 'darwin') {
    const program = find('sandbox-exec');
    return program === null ? [null, 'sandbox-exec is missing'] : [createSandboxExec(program), ''];
  }
  if (platform !== 'linux') return [null, `there is none for ${platform}`];
  const [bwrap, unshare, setpriv] = [find('bwrap'), find('unshare'), find('setpriv')];
  if (bwrap !== null && (await works(bubblewrapProbe(bwrap, process.execPath)))) return [createBubblewrap({ program: bwrap, outer }), ''];
  const first = bwrap === null ? 'bubblewrap (bwrap) is not installed' : 'bubblewrap does not work here: the system allows no user namespaces';
  if (unshare !== null && setpriv !== null && (await works(namespacesProbe(unshare, setpriv, process.execPath))))
    return [createNamespaces({ unshare, setpriv, outer, reason: first }), ''];
  return [null, `${first}, and unshare makes no namespaces either`];
}

/** No wall around it; the parent-death signal all the same, where setpriv is there. */
function plain({ find, ...report }: Pick<Cage, 'kind' | 'strength' | 'detail' | 'reason' | 'outer'> & { find: Find }): Cage {
  const setpriv = find('setpriv');
  return {
    ...report,
    nested: false,
    wrap: (argv, _spec, { mainThread }) => ({ argv: setpriv === null || !mainThread ? argv : [setpriv, '--pdeathsig', 'KILL', '--', ...argv] }),
  };
}

/** Where systems keep such programs; never the search path of the environment, which may lead to another one of that name. */
export function findProgram(name: string): string | null {
  for (const directory of ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/run/current-system/sw/bin']) {
    const path = `${directory}/${name}`;
    if (!existsSync(path)) continue;
    const { uid, mode } = statSync(path);
    if (uid === 0 && (mode & 0o022) === 0) return path;
  }
  return null;
}

const PROBE_MS = 10_000;

/** Whether a command ends with 0, in time. */
export function endsWell([command, ...args]: Argv, environment: Readonly<Record<string, string>> = {}): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'ignore', env: { ...environment }, timeout: PROBE_MS, killSignal: 'SIGKILL' });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

/** Marks that the common container programs leave. */
function outerCage(platform: NodeJS.Platform): string | null {
  if (platform !== 'linux') return null;
  if (existsSync('/.dockerenv')) return 'docker';
  if (existsSync('/run/.containerenv')) return 'podman';
  try {
    return /\/(docker|kubepods|lxc)[/-]/.exec(readFileSync('/proc/1/cgroup', 'utf8'))?.[1] ?? null;
  } catch {
    return null;
  }
}
