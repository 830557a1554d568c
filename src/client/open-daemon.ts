import { API_VERSION, endpoints } from '../contract/index.ts';
import { type Client, type ClientOptions, createClient } from './client.ts';
import { ClientError } from './client-error.ts';

/** The way to the daemon of a home, and how one is started: injected, because this module knows neither sockets nor processes. */
export interface DaemonLauncher {
  /** A fetch over the socket of the home; null while there is no socket. */
  fetch(): ClientOptions['fetch'] | null;
  /** Starts a daemon that outlives this process. `ended` settles should it end again, with what it said last. */
  launch(): Promise<{ readonly ended: Promise<{ readonly code: number | null; readonly lastLines: readonly string[] }> }>;
  sleep(ms: number): Promise<void>;
}

export interface FoundDaemon {
  readonly client: Client;
  /** Version of the product that answers. */
  readonly version: string;
}

export interface FindOptions {
  readonly launcher: DaemonLauncher;
  /** Version of the product that asks, for the error. */
  readonly version: string;
  /** Take a daemon of another API version too: to stop it. */
  readonly anyVersion?: boolean;
  readonly signal?: AbortSignal;
}

const BASE_URL = 'http://localhost';

/** The daemon that runs, or null. Throws daemon_version_mismatch when it speaks another version of the API. */
export async function findDaemon({ launcher, version, anyVersion = false, signal }: FindOptions): Promise<FoundDaemon | null> {
  const fetch = launcher.fetch();
  if (fetch === null) return null;
  const client = createClient({ fetch, baseUrl: BASE_URL });
  const found = await client.call(endpoints.version, {}, signal ? { signal } : {}).catch((error: unknown) => {
    if (error instanceof ClientError && error.code === 'server_unreachable') return null; // left behind by a daemon that is gone
    throw error;
  });
  if (found === null) return null;
  if (found.api_version !== API_VERSION && !anyVersion)
    throw new ClientError(
      'daemon_version_mismatch',
      `The running daemon is hearth ${found.version} (API ${found.api_version}), and this is ${version} (API ${API_VERSION}).`,
    );
  return { client, version: found.version };
}

export interface OpenOptions extends FindOptions {
  /** For the socket to answer; 10 s. */
  readonly startTimeoutMs?: number;
}

const POLL_MS = 25;
/** One that ends at once may have lost against another that starts: that one answers soon. */
const OTHER_WAIT_MS = 4_000;

/** The daemon that runs, or one that is started now. Throws daemon_start_failed with its last lines. */
export async function openDaemon(options: OpenOptions): Promise<FoundDaemon> {
  const { launcher, startTimeoutMs = 10_000, signal } = options;
  const running = await findDaemon(options);
  if (running !== null) return running;
  const { ended } = await launcher.launch();
  let exit: { readonly code: number | null; readonly lastLines: readonly string[] } | null = null;
  void ended.then((value) => {
    exit = value;
  });
  let left = startTimeoutMs;
  while (left > 0) {
    await launcher.sleep(POLL_MS);
    if (signal?.aborted) throw new ClientError('cancelled', 'Stopped while the daemon was starting.');
    const found = await findDaemon(options);
    if (found !== null) return found;
    left -= POLL_MS;
    if (exit !== null) left = Math.min(left, OTHER_WAIT_MS);
  }
  const gone = exit as { readonly code: number | null; readonly lastLines: readonly string[] } | null;
  const what = gone === null ? `It did not answer within ${startTimeoutMs / 1000} s.` : `It ended with code ${gone.code}.`;
  throw new ClientError('daemon_start_failed', `The daemon could not be started. ${what}`, { details: { lastLines: [...(gone?.lastLines ?? [])] } });
}
