import type { Argv, Cage } from './cage.ts';

export interface NamespacesOptions {
  /** Absolute paths. */
  readonly unshare: string;
  readonly setpriv: string;
  readonly outer: string | null;
  readonly reason: string;
}

const own = (unshare: string): Argv => [unshare, '--user', '--map-current-user', '--net', '--ipc', '--uts', '--'];
/** Whoever makes a user namespace has all rights in it: others than root lose them as the next program starts, root only when they are taken away. */
const rights = (): readonly string[] => (process.geteuid?.() === 0 ? ['--inh-caps=-all', '--bounding-set=-all'] : []);

/**
 * User, network, IPC and host name namespaces by the tools of util-linux, and no new privileges. They replace themselves by the program, so the
 * process number stays. Files are held back by Node's own permission model alone.
 */
export function createNamespaces({ unshare, setpriv, outer, reason }: NamespacesOptions): Cage {
  return {
    kind: 'namespaces',
    // Sockets that lie in the file system stay in reach, the daemon's own among them.
    strength: 'weak',
    detail: 'no network, no rights and none to gain; files by the permission model of Node, or the rules that the worker of mlx takes on',
    reason,
    outer,
    nested: false,
    wrap: (argv, _spec, { mainThread }) => ({
      argv: [...own(unshare), setpriv, '--no-new-privs', ...rights(), ...(mainThread ? ['--pdeathsig', 'KILL'] : []), '--', ...argv] as unknown as Argv,
    }),
  };
}

export const namespacesProbe = (unshare: string, setpriv: string, command: string): Argv =>
  [...own(unshare), setpriv, '--no-new-privs', ...rights(), '--', command, '--version'] as unknown as Argv;
