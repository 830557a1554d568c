import { statSync } from 'node:fs';
import { type Client, createClient } from '../client/index.ts';
import { API_VERSION, endpoints } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import type { Context } from './context.ts';

/** The product as a command sees it: it cannot tell whether a daemon answers or this process does. */
export interface Connection {
  readonly client: Client;
  close(): Promise<void>;
}

/** The product in this process, which ends with the command. */
export async function connectHere(context: Context): Promise<Connection> {
  const { createHearth } = await import('../app/index.ts');
  const { config, origins } = await context.loadConfig();
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
  const { socketFetch, socketPath } = await import('../app/index.ts');
  const path = socketPath(context.home, context.env);
  if (statSync(path, { throwIfNoEntry: false })?.isSocket()) {
    const client = createClient({ fetch: socketFetch(path), baseUrl: 'http://localhost' });
    const version = await client.call(endpoints.version, {}, { signal: context.signal }).catch((error: unknown) => {
      if (isUnreachable(error)) return null; // left behind by a daemon that is gone
      throw error;
    });
    if (version !== null) {
      if (version.api_version !== API_VERSION)
        throw new HearthError('daemon_version_mismatch', `The running daemon is hearth ${version.version}, and this is ${context.version}.`);
      return { client, close: async () => {} };
    }
  }
  return await connectHere(context);
}

const isUnreachable = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'server_unreachable';
