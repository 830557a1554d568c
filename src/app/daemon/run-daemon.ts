import { lstatSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import type { Listener } from '../../api/index.ts';
import { createClient } from '../../client/index.ts';
import { type DaemonState, endpoints } from '../../contract/index.ts';
import { HearthError, keepOldHeapSmall } from '../../core/index.ts';
import { expandPath, parseReference } from '../../store/index.ts';
import type { LogFile } from '../../telemetry/index.ts';
import type { Hearth, HearthOptions } from '../hearth-options.ts';
import { watchConfig } from '../watch-config.ts';
import type { OwnedControl } from './daemon-control.ts';
import { watchClients } from './idle-clients.ts';
import { type DaemonLock, takeDaemonLock } from './lock.ts';
import { makeRoom, refuseSecond } from './other-daemon.ts';
import { prepareHome, sweepTemporaries } from './prepare-home.ts';
import { socketPath } from './socket-path.ts';

export interface DaemonOptions extends Omit<HearthOptions, 'daemon' | 'logs' | 'journalPath' | 'listeners'> {
  /** `serve`: its own listener, and no gateway. `on-demand` and `service` write their log to the home. */
  readonly mode: Exclude<DaemonState['mode'], 'in-process'>;
  /** Called at once; its listener is called for each request to stop. The second one skips the drain. */
  readonly onStop: (listener: () => void) => void;
  /** Called once; its listener is called for each request to read the configuration again. */
  readonly onReload?: (listener: () => void) => void;
  /** An on-demand daemon that nobody wants to be up ends after this time without a client; 300 s. */
  readonly idleExitMs?: number;
}

export interface DaemonStart {
  /** The port that was opened: the configured one, or the one that the system chose for 0. */
  readonly port: number | null;
  /** `http://127.0.0.1:8000`; empty while no TCP listener is open. */
  readonly url: string;
  /** Settles when the daemon has stopped: no listener, no child, no lock. */
  readonly stopped: Promise<void>;
}

const IDLE_EXIT_MS = 300_000;

/**
 * The daemon in this process: lock, sweep of what an earlier one left, Unix socket, then for `serve` its listener and model, for the others the
 * gateway where the user wants it up. Errors: locked, port_in_use, home_not_owned, unsafe_path, and whatever keeps the model from loading.
 */
export async function runDaemon(options: DaemonOptions): Promise<DaemonStart> {
  const { config, home, env, mode } = options;
  process.umask(0o077);
  keepOldHeapSmall();
  const socket = socketPath(home, env);
  const tightened: string[] = [];
  prepareHome(home, socket, (path) => tightened.push(path));
  const lockPath = join(home, 'run', 'hearthd.lock');
  const lock =
    takeDaemonLock(lockPath) ?? (mode === 'serve' ? await makeRoom(socket, () => takeDaemonLock(lockPath)) : null) ?? (await refuseSecond(socket, home));
  let parts: DaemonParts | undefined;
  try {
    parts = await construct(options, lock, socket);
    const { hearth, listener, control, stop } = parts;
    for (const path of tightened) hearth.logger.warning('Other users could enter a directory of the home; it is closed to them now.', { path });
    if (mode === 'serve' && config.serve.model !== null) await preload(hearth, options, stop.first);
    if (control.desired() === 'up') await raise(control, hearth, mode);
    const stopped = untilStopped(parts, config.gateway.drainTimeoutMs);
    const { url, port } = control.state().gateway;
    return { port: listener.port ?? port, url: listener.addresses.find((address) => address.startsWith('http')) ?? url ?? '', stopped };
  } catch (error) {
    await parts?.control.close(0);
    await parts?.listener.close();
    await parts?.hearth.close({ drainTimeoutMs: 0 });
    await parts?.closeLog();
    lock.release();
    throw error;
  }
}

interface DaemonParts {
  readonly hearth: Hearth;
  readonly listener: Listener;
  readonly control: OwnedControl;
  readonly lock: DaemonLock;
  readonly stop: Stopping;
  closeLog(): Promise<void>;
}

/** Loaded on use: of many that start at once, all but one only learn that the lock is taken. */
async function construct(options: DaemonOptions, lock: DaemonLock, socket: string): Promise<DaemonParts> {
  const [{ createHearth }, { createDaemonControl }, { listen }, { sweepLeftovers }, { createLogBook, createLogFile }] = await Promise.all([
    import('../create-hearth.ts'),
    import('./daemon-control.ts'),
    import('../../api/index.ts'),
    import('../../supervisor/index.ts'),
    import('../../telemetry/index.ts'),
  ]);
  const { config, home, mode } = options;
  const logs = join(home, 'logs');
  const logFile =
    mode === 'on-demand' || mode === 'service'
      ? createLogFile({ path: join(logs, 'hearthd.log'), maxSizeBytes: config.logs.maxSizeMib * 1024 * 1024, maxFiles: config.logs.maxFiles })
      : null;
  const stop = stopping(options.onStop);
  const clients = watchClients();
  const book = createLogBook(logs);
  let hearth: Hearth | undefined;
  let listener: Listener | undefined;
  let watching: Disposable | undefined;
  let control: OwnedControl | undefined;
  const journalPath = join(home, 'run', 'children.json');
  try {
    const late = {
      state: () => control!.state(),
      stop: (how) => control!.stop(how),
      up: () => control!.up(),
      down: (how) => control!.down(how),
      rotate: (service) => control!.rotate(service),
    } satisfies HearthOptions['daemon'];
    const own = await createHearth({
      ...options,
      ...(logFile ? { stderr: linesTo(logFile) } : {}),
      listeners: () => [...(control?.addresses() ?? []), ...(listener?.addresses ?? [])],
      daemon: late,
      logs: book,
      journalPath,
    });
    hearth = own;
    const { access } = own;
    const watched = { request: clients.watch(own.request.bind(own)) };
    control = createDaemonControl({
      home,
      mode,
      host: config.gateway.host,
      port: config.gateway.port,
      drainTimeoutMs: config.gateway.drainTimeoutMs,
      logger: own.logger,
      open: () => listen(own, { host: config.gateway.host, port: config.gateway.port, access }),
      models: () => own.models(),
      unload: (id, force) => clientOf(own).call(endpoints.unloadModel, { body: { model: id, force } }),
      // The one that asks is a client too.
      busy: () => clients.active() > 1,
      rotate(service) {
        book.tail(service, 0);
        if (service !== 'hearthd' || logFile === null) return false;
        logFile.rotate();
        return true;
      },
      stop: stop.request,
    });
    const { ended } = await sweepLeftovers({ path: journalPath, logger: own.logger });
    for (const pid of ended) own.securityEvents.record({ event: 'engine.orphan', outcome: 'ok', details: { pid, action: 'ended' } });
    const temporaries = sweepTemporaries(home);
    if (temporaries > 0) own.logger.info('Removed files that a killed writer had left.', { files: temporaries });
    if (removeStaleSocket(socket)) own.logger.info('Removed the socket of a daemon that is gone.', { socket });
    listener = await listen(mode === 'serve' ? own : watched, {
      host: config.serve.host,
      port: mode === 'serve' ? config.serve.port : null,
      socketPath: socket,
      access,
    });
    watching = watchConfig({ home, reloads: own.reloads, logger: own.logger });
    // A refused reload is told in the log, and by GET /admin/v1/config/reload.
    options.onReload?.(() => void own.reloads.reload('signal').catch(() => {}));
    own.logger.info('The daemon runs.', { version: options.version, pid: process.pid, mode });
    if (mode === 'on-demand') exitWhenIdle(control, clients.lastAt, options.idleExitMs ?? IDLE_EXIT_MS, stop);
    const watch = watching;
    const closeLog = async () => {
      watch[Symbol.dispose]();
      await logFile?.close();
    };
    return { hearth: own, listener, control, lock, stop, closeLog };
  } catch (error) {
    watching?.[Symbol.dispose]();
    await listener?.close();
    await hearth?.close({ drainTimeoutMs: 0 });
    await logFile?.close();
    throw error;
  }
}

/** A log file as a stream of lines. */
const linesTo = (file: LogFile): Pick<Writable, 'write'> => ({
  write(line: string) {
    file.write(line);
    return true;
  },
});

function exitWhenIdle(control: OwnedControl, lastAt: () => number, afterMs: number, stop: Stopping): void {
  const timer = setInterval(
    () => {
      if (control.state().idle && performance.now() - lastAt() >= afterMs) stop.request(false);
    },
    Math.max(20, Math.min(5_000, afterMs / 4)),
  ).unref();
  stop.first.addEventListener('abort', () => clearInterval(timer), { once: true });
}

/** A daemon whose gateway cannot open goes on: it is started again with `hearth up`, once the cause is gone; one in the foreground tells it at once. */
async function raise(control: OwnedControl, hearth: Hearth, mode: DaemonOptions['mode']): Promise<void> {
  try {
    await control.up();
  } catch (error) {
    if (mode === 'foreground') throw error;
    hearth.logger.error('The gateway could not be opened.', { error });
  }
}

/** For the error that ends a stream to be sent. */
const LAST_WORDS_MS = 500;

interface Stopping {
  /** Aborted at the first request to stop. */
  readonly first: AbortSignal;
  /** Aborted at the second one. */
  readonly second: AbortSignal;
  /** As a signal does; `now` as two of them. */
  readonly request: (now: boolean) => void;
}

function stopping(onStop: DaemonOptions['onStop']): Stopping {
  const first = new AbortController();
  const second = new AbortController();
  const next = () => {
    if (first.signal.aborted) second.abort();
    first.abort();
  };
  onStop(next);
  return {
    first: first.signal,
    second: second.signal,
    request(now) {
      next();
      if (now) next();
    },
  };
}

async function untilStopped({ hearth, listener, control, lock, stop, closeLog }: DaemonParts, drainTimeoutMs: number): Promise<void> {
  await aborted(stop.first);
  hearth.logger.info('Stopping; running requests may end first.', { drain_ms: drainTimeoutMs });
  const until = performance.now() + drainTimeoutMs;
  const closeListeners = async (graceMs: number) => {
    await Promise.all([control.close(graceMs), listener.close({ graceMs })]);
  };
  // The listeners go last: who comes meanwhile gets 503 `draining`, not a closed port.
  const drained = hearth.close({ drainTimeoutMs }).then(() => closeListeners(Math.max(LAST_WORDS_MS, until - performance.now())));
  await Promise.race([drained, aborted(stop.second)]);
  if (stop.second.aborted) {
    await hearth.close({ drainTimeoutMs: 0 });
    await closeListeners(LAST_WORDS_MS);
  }
  hearth.logger.info('The daemon has stopped.');
  await closeLog();
  lock.release();
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

const clientOf = (hearth: Hearth) => createClient({ fetch: (request) => hearth.request(request), baseUrl: 'http://localhost' });

/** The model of `serve.model`: a name, or a path as the user writes it. */
async function preload(hearth: Hearth, { config, userHome, cwd }: DaemonOptions, signal: AbortSignal): Promise<void> {
  const model = config.serve.model!;
  const isPath = parseReference(model).kind === 'path';
  const loaded = await clientOf(hearth)
    .call(
      endpoints.loadModel,
      { body: { ...(isPath ? { path: expandPath({ userHome, workingDirectory: cwd }, model) } : { model }), ttlSeconds: null } },
      { signal },
    )
    .catch((error: unknown) => {
      throw signal.aborted ? new HearthError('cancelled', `Stopped while ${model} was loading.`, { cause: error }) : error;
    });
  hearth.logger.info('The model is ready.', { model: loaded.id, engine: loaded.engine, load_ms: loaded.loadMs });
}

/** With the lock in hand, a socket that is still there belongs to nobody. */
function removeStaleSocket(path: string): boolean {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return false;
  if (!facts.isSocket() || facts.nlink !== 1) throw new HearthError('unsafe_path', `${path} is in the way: it is no socket.`);
  unlinkSync(path);
  return true;
}
