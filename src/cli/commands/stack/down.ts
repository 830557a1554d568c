import { setTimeout as sleep } from 'node:timers/promises';
import { endpoints } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, flag } from '../../command.ts';
import type { Context } from '../../context.ts';
import { table } from '../../render/table.ts';

interface DownData {
  readonly services: readonly { readonly service: string; readonly pid: number | null; readonly status: string; readonly method: string }[];
  readonly daemon: 'not running' | 'stopped' | 'runs';
  readonly message: string | null;
}

/** Beyond the drain: for children to be ended, and the lock to be free. */
const STOP_WAIT_MS = 60_000;

export const downCommand = defineCommand({
  name: 'down',
  group: 'Stack',
  summary: 'Close the gateway and stop its models',
  arguments: [],
  options: {
    now: flag('do not wait for running requests'),
    daemon: flag('stop the daemon too, also one of `hearth serve`'),
  },
  async run(context, _args, { now, daemon }): Promise<{ data: DownData }> {
    const found = await context.findDaemon({ anyVersion: daemon });
    if (found === null) return { data: { services: [], daemon: 'not running', message: 'Nothing is running.' } };
    const { client } = found;
    if (daemon) {
      const { pid } = await client.call(endpoints.daemonStop, { body: { now } }, { signal: context.signal });
      await untilGone(context);
      return { data: { services: [{ service: 'hearthd', pid, status: 'stopped', method: now ? 'forced' : 'graceful' }], daemon: 'stopped', message: null } };
    }
    const status = await client.call(endpoints.status, {}, { signal: context.signal });
    if (status.daemon.mode === 'serve') {
      const message = `\`hearth serve\` (pid ${status.pid}) runs, and no gateway. \`hearth down --daemon\` stops it.`;
      return { data: { services: [], daemon: 'runs', message } };
    }
    const { services, wasUp, exits } = await client.call(endpoints.stackDown, { body: { now } }, { signal: context.signal });
    if (exits) await untilGone(context);
    const message = wasUp || services.length > 1 ? null : 'Nothing was running.';
    return { data: { services, daemon: exits ? 'stopped' : 'runs', message } };
  },
  render: ({ services, message }) =>
    [
      ...(message === null ? [] : [message]),
      ...(services.length === 0 || message !== null
        ? []
        : [
            table(
              [{ title: 'Service' }, { title: 'PID', align: 'right' }, { title: 'Status' }, { title: 'Method' }],
              services.map((row) => [row.service, String(row.pid ?? '-'), row.status, row.method || '-']),
            ),
          ]),
    ].join('\n'),
});

/** A daemon is gone when its socket no longer answers: it closes that last of all but its lock. */
async function untilGone(context: Context): Promise<void> {
  const until = performance.now() + STOP_WAIT_MS;
  while (performance.now() < until) {
    const found = await context.findDaemon({ anyVersion: true }).catch(() => null);
    if (found === null) return;
    await sleep(50, undefined, { signal: context.signal }).catch(() => {});
    if (context.signal.aborted) throw new HearthError('cancelled', 'Interrupted; the daemon goes on stopping.');
  }
  throw new HearthError('execution_error', 'The daemon was asked to stop and still answers. `hearth status` shows what it does.');
}
