import { type Client, createClient, type DaemonLauncher, type FoundDaemon, findDaemon, openDaemon } from '../client/index.ts';
import type { Context } from './context.ts';

/** The product as a command sees it: it cannot tell whether a daemon answers or this process does. */
export interface Connection {
  readonly client: Client;
  close(): Promise<void>;
}

/** The product in this process, which ends with the command. */
export async function connectHere(context: Context, flags?: Readonly<Record<string, unknown>>): Promise<Connection> {
  const { createHearth } = await import('../app/index.ts');
  const { config, origins } = await context.loadConfig(flags);
  const hearth = await createHearth({
    config,
    version: context.version,
    env: context.env,
    home: context.home,
    userHome: context.userHome,
    cwd: context.cwd,
    // A command tells its own errors: log lines would tell them twice. They come where somebody asked for them.
    silent: origins.get('logs.level')?.source === 'default',
    stderr: context.output.stderr,
  });
  return { client: createClient({ fetch: (request) => hearth.request(request), baseUrl: 'http://localhost' }), close: () => hearth.close() };
}

/** The daemon of this home when one answers on its socket, else the product in this process, which ends with the command. */
export async function connect(context: Context): Promise<Connection> {
  return (await findRunning(context)) ?? (await connectHere(context));
}

/** The daemon of this home, or null when none answers. */
export async function findRunning(context: Context, how: { readonly anyVersion?: boolean } = {}): Promise<Connection | null> {
  const found = await findDaemon({ launcher: await launcherOf(context), version: context.version, signal: context.signal, ...how });
  return found === null ? null : connectionOf(context, found);
}

/** The daemon of this home; one is started where none answers (docs/spec/stack.md §1 Start). */
export async function connectDaemon(context: Context, { env = {} }: { readonly env?: Readonly<Record<string, string>> } = {}): Promise<Connection> {
  return connectionOf(
    context,
    await openDaemon({ launcher: await launcherOf({ ...context, env: { ...context.env, ...env } }), version: context.version, signal: context.signal }),
  );
}

async function launcherOf({ home, env, output }: Context): Promise<DaemonLauncher> {
  const { createDaemonLauncher } = await import('../app/index.ts');
  const onTightened = (path: string): void => output.notice(`Other users could enter ${path}; it is closed to them now.`);
  return createDaemonLauncher({ home, env, onTightened });
}

function connectionOf(context: Context, { client, version }: FoundDaemon): Connection {
  if (version !== context.version)
    context.output.notice(
      `The running daemon is hearth ${version}, and this is ${context.version}; \`hearth down --daemon\` ends it, and the next start takes this one.`,
    );
  return { client, close: async () => {} };
}
