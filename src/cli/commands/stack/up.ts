import { endpoints } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, onUnlessNo } from '../../command.ts';
import { table } from '../../render/table.ts';

export const upCommand = defineCommand({
  name: 'up',
  group: 'Stack',
  summary: 'Start the daemon and open its gateway',
  arguments: [],
  options: { sandbox: onUnlessNo('let the daemon start engines without their sandbox') },
  async run(context, _args, { sandbox }) {
    const { client } = await context.connectDaemon(sandbox ? {} : { env: { HEARTH_SECURITY_SANDBOX: 'off' } });
    const before = sandbox ? null : await client.call(endpoints.status, {}, { signal: context.signal });
    if (before !== null && !before.weakened.includes('security.sandbox off'))
      throw new HearthError(
        'locked',
        'The running daemon keeps its sandbox. `hearth down --daemon` ends it; then `hearth up --no-sandbox` starts one without.',
      );
    const { gateway, alreadyRunning } = await client.call(endpoints.stackUp, { body: {} }, { signal: context.signal });
    const status = await client.call(endpoints.status, {}, { signal: context.signal });
    return {
      data: {
        services: [
          {
            service: 'gateway',
            model: 'proxy',
            engine: null,
            port: gateway.port,
            pid: status.pid,
            status: alreadyRunning ? 'already-running' : 'healthy',
            error: null,
          },
        ],
        endpoint: gateway.url === null ? null : `${gateway.url}/v1`,
      },
    };
  },
  render: ({ services, endpoint }) =>
    [
      table(
        [{ title: 'Service' }, { title: 'Model' }, { title: 'Engine' }, { title: 'Port', align: 'right' }, { title: 'Status' }],
        services.map((row) => [row.service, row.model, row.engine ?? '-', String(row.port ?? '-'), row.status]),
      ),
      '',
      `Listens on ${endpoint}; models load when a request names them. \`hearth down\` stops it.`,
    ].join('\n'),
});
