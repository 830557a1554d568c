import type { DaemonControl, Listener } from '../../api/index.ts';
import type { DaemonState, GatewayState, ResidentModel } from '../../contract/index.ts';
import { HearthError, type Logger } from '../../core/index.ts';
import { type Desired, readDesired, writeDesired } from './desired-state.ts';
import { createOperationSlot } from './operation-slot.ts';

export interface ControlOptions {
  readonly home: string;
  readonly mode: DaemonState['mode'];
  readonly host: string;
  readonly port: number;
  readonly drainTimeoutMs: number;
  readonly logger: Logger;
  /** Opens the gateway's listener. */
  readonly open: () => Promise<Listener>;
  readonly models: () => readonly ResidentModel[];
  readonly unload: (id: string, force: boolean) => Promise<unknown>;
  /** Requests of clients that run or wait, besides the one that asks. */
  readonly busy: () => boolean;
  readonly rotate: (service: string) => boolean;
  /** Asks the daemon to stop; `now` skips the drain. */
  readonly stop: (now: boolean) => void;
}

export interface OwnedControl extends DaemonControl {
  readonly desired: () => Desired;
  /** Addresses of the open gateway. */
  addresses(): readonly string[];
  close(graceMs: number): Promise<void>;
}

/** For the answer to leave before the listener goes. */
const ANSWER_MS = 50;

/** What `up`, `down`, `status` and `daemon/stop` act on. The gateway has no tiers of its own yet: its models load on request. */
export function createDaemonControl(options: ControlOptions): OwnedControl {
  const { home, mode, logger } = options;
  const inSlot = createOperationSlot();
  let gateway: { readonly listener: Listener; readonly openedAt: string } | null = null;
  let raising: ReturnType<DaemonControl['up']> | null = null;
  // A service comes up by itself after a reboot, with no other file present.
  let desired: Desired = mode === 'serve' ? 'down' : (readDesired(home) ?? (mode === 'service' || mode === 'foreground' ? 'up' : 'down'));

  const describe = (): GatewayState => ({
    state: gateway === null ? 'closed' : 'open',
    host: options.host,
    port: gateway?.listener.port ?? null,
    url: gateway?.listener.addresses.find((address) => address.startsWith('http')) ?? null,
    openedAt: gateway?.openedAt ?? null,
  });
  const loaded = () => options.models().filter((model) => model.state !== 'unloaded' && model.state !== 'failed');
  const idle = () => gateway === null && desired === 'down' && mode === 'on-demand' && loaded().length === 0 && !options.busy();

  async function closeGateway(graceMs: number): Promise<boolean> {
    const open = gateway;
    gateway = null;
    await open?.listener.close({ graceMs });
    return open !== null;
  }

  return {
    desired: () => desired,
    addresses: () => gateway?.listener.addresses ?? [],
    state: () => ({ mode, desired, gateway: describe(), idle: idle() }),
    rotate: options.rotate,
    stop({ onlyIdle = false, now = false }) {
      if (onlyIdle && !idle()) return false;
      setTimeout(() => options.stop(now), ANSWER_MS);
      return true;
    },
    // Whoever asks while it comes up, the daemon at its start among them, shares that run.
    up: () => {
      if (raising !== null) return raising.then((reply) => ({ ...reply, alreadyRunning: true }));
      raising = inSlot('up', async () => {
        if (mode === 'serve')
          throw new HearthError('locked', 'The daemon of this home is `hearth serve`, which has its own listener. `hearth down --daemon` stops it.');
        const alreadyRunning = gateway !== null;
        gateway ??= { listener: await options.open(), openedAt: new Date().toISOString() };
        desired = 'up';
        await writeDesired(home, desired);
        if (!alreadyRunning) logger.info('The gateway is open.', { url: describe().url });
        return { alreadyRunning, gateway: describe() };
      }).finally(() => {
        raising = null;
      });
      return raising;
    },
    down: ({ now = false }) =>
      inSlot('down', async () => {
        desired = 'down';
        await writeDesired(home, desired);
        const wasUp = await closeGateway(now ? 0 : options.drainTimeoutMs);
        const services = [
          {
            service: 'gateway',
            pid: wasUp ? process.pid : null,
            status: wasUp ? ('stopped' as const) : ('not running' as const),
            method: wasUp ? 'graceful' : '',
          },
        ];
        const stopped = loaded().map(async (model) => {
          const ended = await options.unload(model.id, now).then(
            () => true,
            () => false,
          );
          return { service: model.id, pid: model.pid, status: ended ? ('stopped' as const) : ('still stopping' as const), method: ended ? 'graceful' : '' };
        });
        const exits = mode === 'on-demand';
        if (exits) setTimeout(() => options.stop(false), ANSWER_MS);
        return { wasUp, services: [...services, ...(await Promise.all(stopped))], exits };
      }),
    async close(graceMs) {
      await closeGateway(graceMs);
    },
  };
}
