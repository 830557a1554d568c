import { statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type Listener, listen } from '../../api/index.ts';
import { createClient } from '../../client/index.ts';
import { endpoints } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { createHearth } from '../create-hearth.ts';
import type { Hearth, HearthOptions } from '../hearth-options.ts';
import { type DaemonLock, takeDaemonLock } from './lock.ts';
import { prepareHome } from './prepare-home.ts';
import { socketFetch } from './socket-fetch.ts';
import { socketPath } from './socket-path.ts';

export interface DaemonOptions extends HearthOptions {
  /** Called at once; its listener is called for each request to stop. The second one skips the drain. */
  readonly onStop: (listener: () => void) => void;
}

export interface DaemonStart {
  /** The port that was opened: the configured one, or the one that the system chose for 0. */
  readonly port: number;
  /** `http://127.0.0.1:8000`. */
  readonly url: string;
  /** Settles when the daemon has stopped: no listener, no child, no lock. */
  readonly stopped: Promise<void>;
}

/**
 * The daemon in this process: lock, Unix socket, listener of `serve.host` and `serve.port`, then the model of `serve.model`.
 * Errors: locked, port_in_use, home_not_owned, unsafe_path, and whatever keeps the model from loading.
 */
export async function runDaemon(options: DaemonOptions): Promise<DaemonStart> {
  const { config, home, env } = options;
  process.umask(0o077);
  const socket = socketPath(home, env);
  const tightened: string[] = [];
  prepareHome(home, socket, (path) => tightened.push(path));
  const lock = takeDaemonLock(join(home, 'run', 'hearthd.lock')) ?? (await refuseSecond(socket, home));

  let hearth: Hearth | undefined;
  let listener: Listener | undefined;
  try {
    let addresses: readonly string[] = [];
    hearth = await createHearth({ ...options, listeners: () => addresses });
    for (const path of tightened) hearth.logger.warning('Other users could enter a directory of the home; it is closed to them now.', { path });
    if (removeStaleSocket(socket)) hearth.logger.info('Removed the socket of a daemon that is gone.', { socket });
    const stop = stopping(options.onStop);
    listener = await listen(hearth, {
      host: config.serve.host,
      port: config.serve.port,
      socketPath: socket,
      requireKey: config.access.requireKey,
      hosts: config.access.hosts,
      origins: config.access.origins,
    });
    addresses = listener.addresses;
    if (config.serve.model !== null) await preload(hearth, config.serve.model, stop.first);
    const stopped = untilStopped({ hearth, listener, lock, stop, drainTimeoutMs: config.gateway.drainTimeoutMs });
    return { port: listener.port ?? config.serve.port, url: addresses.find((address) => address.startsWith('http')) ?? '', stopped };
  } catch (error) {
    await listener?.close();
    await hearth?.close({ drainTimeoutMs: 0 });
    lock.release();
    throw error;
  }
}

/** For the error that ends a stream to be sent. */
const LAST_WORDS_MS = 500;

interface Stopping {
  /** Aborted at the first request to stop. */
  readonly first: AbortSignal;
  /** Aborted at the second one. */
  readonly second: AbortSignal;
}

function stopping(onStop: DaemonOptions['onStop']): Stopping {
  const first = new AbortController();
  const second = new AbortController();
  onStop(() => {
    if (first.signal.aborted) second.abort();
    first.abort();
  });
  return { first: first.signal, second: second.signal };
}

async function untilStopped(parts: { hearth: Hearth; listener: Listener; lock: DaemonLock; stop: Stopping; drainTimeoutMs: number }): Promise<void> {
  const { hearth, listener, lock, stop, drainTimeoutMs } = parts;
  await aborted(stop.first);
  hearth.logger.info('Stopping; running requests may end first.', { drain_ms: drainTimeoutMs });
  const until = performance.now() + drainTimeoutMs;
  // The listener goes last: who comes meanwhile gets 503 `draining`, not a closed port.
  const drained = hearth.close({ drainTimeoutMs }).then(() => listener.close({ graceMs: Math.max(LAST_WORDS_MS, until - performance.now()) }));
  await Promise.race([drained, aborted(stop.second)]);
  if (stop.second.aborted) {
    await hearth.close({ drainTimeoutMs: 0 });
    await listener.close({ graceMs: LAST_WORDS_MS });
  }
  lock.release();
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

async function preload(hearth: Hearth, model: string, signal: AbortSignal): Promise<void> {
  const client = createClient({ fetch: (request) => hearth.request(request), baseUrl: 'http://localhost' });
  const loaded = await client.call(endpoints.loadModel, { body: { model, ttlSeconds: null } }, { signal }).catch((error: unknown) => {
    throw signal.aborted ? new HearthError('cancelled', `Stopped while ${model} was loading.`, { cause: error }) : error;
  });
  hearth.logger.info('The model is ready.', { model: loaded.id, engine: loaded.engine, load_ms: loaded.loadMs });
}

/** A second daemon of one home is refused, with what the first says of itself. */
async function refuseSecond(socket: string, home: string): Promise<never> {
  const client = createClient({ fetch: socketFetch(socket), baseUrl: 'http://localhost' });
  const status = await client.call(endpoints.status, {}, { signal: AbortSignal.timeout(2000) }).catch(() => null);
  const who = status === null ? 'Another hearth daemon' : `hearth ${status.version} (pid ${status.pid})`;
  const where = status?.listeners.find((address) => address.startsWith('http'));
  throw new HearthError('locked', `${who} runs with the home ${home}${where === undefined ? '' : ` and answers on ${where}`}. Stop it first.`, {
    details: status === null ? {} : { pid: status.pid, version: status.version },
  });
}

/** With the lock in hand, a socket that is still there belongs to nobody. */
function removeStaleSocket(path: string): boolean {
  const facts = statSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return false;
  if (!facts.isSocket()) throw new HearthError('unsafe_path', `${path} is in the way: it is no socket.`);
  unlinkSync(path);
  return true;
}
