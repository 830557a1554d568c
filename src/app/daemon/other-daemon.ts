import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '../../client/index.ts';
import { endpoints } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { DaemonLock } from './lock.ts';
import { socketFetch } from './socket-fetch.ts';

/** One that starts just now answers a little later. */
const ANSWER_WAIT_MS = 3_000;
const LEAVE_WAIT_MS = 10_000;

const clientOf = (socket: string) => createClient({ fetch: socketFetch(socket), baseUrl: 'http://localhost' });

/** A daemon that is there on demand and that nobody would miss leaves for `hearth serve`. Answers the lock, or null where the other one stays. */
export async function makeRoom(socket: string, takeLock: () => DaemonLock | null): Promise<DaemonLock | null> {
  const reply = await clientOf(socket)
    .call(endpoints.daemonStop, { body: { onlyIdle: true } }, { signal: AbortSignal.timeout(2_000) })
    .catch(() => null);
  if (reply?.stopping !== true) return null;
  const until = performance.now() + LEAVE_WAIT_MS;
  while (performance.now() < until) {
    const lock = takeLock();
    if (lock !== null) return lock;
    await sleep(20);
  }
  return null;
}

/** A second daemon of one home is refused, with what the first says of itself. */
export async function refuseSecond(socket: string, home: string): Promise<never> {
  const until = performance.now() + ANSWER_WAIT_MS;
  let status = null;
  do {
    status = await clientOf(socket)
      .call(endpoints.status, {}, { signal: AbortSignal.timeout(2_000) })
      .catch(() => null);
    if (status === null) await sleep(100);
  } while (status === null && performance.now() < until);
  const age = status === null ? '' : `, since ${status.started_at}`;
  const who = status === null ? 'Another hearth daemon' : `hearth ${status.version} (pid ${status.pid}${age})`;
  const where = status?.listeners.find((address) => address.startsWith('http'));
  throw new HearthError(
    'locked',
    `${who} runs with the home ${home}${where === undefined ? '' : ` and answers on ${where}`}. \`hearth down --daemon\` stops it.`,
    {
      details: status === null ? {} : { pid: status.pid, version: status.version, startedAt: status.started_at },
    },
  );
}
