import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { LimitRow } from '../../../app/index.ts';
import { endpoints, type ResidentModel } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, flag, option } from '../../command.ts';
import type { Context } from '../../context.ts';
import { formatSeconds, formatSize } from '../../render/size.ts';
import { table } from '../../render/table.ts';

interface ServiceRow {
  /** null: no tier names the model; a request loaded it. */
  readonly tier: string | null;
  readonly model: string;
  readonly engine: string | null;
  readonly quant: string | null;
  readonly port: number | null;
  readonly pid: number | null;
  readonly status: string;
  readonly flapping: boolean;
  readonly uptime: number | null;
  readonly uptime_display: string;
  readonly response_time: number | null;
  readonly memory_gib: number | null;
  readonly in_flight: number;
  readonly queued: number;
  readonly decode_tps: number | null;
  readonly context_tokens: number | null;
  readonly restarts: number;
  readonly last_error: string | null;
}

/** Model states as those of services (docs/spec/stack.md §5). */
const STATES: Readonly<Record<ResidentModel['state'], string>> = {
  unloaded: 'idle',
  loading: 'starting',
  ready: 'healthy',
  busy: 'healthy',
  unloading: 'stopping',
  failed: 'crashed',
};
const DEGRADED_MS = 2_000;
const PROBE_MS = 5_000;

export const statusCommand = defineCommand({
  name: 'status',
  group: 'Stack',
  summary: 'Show what runs',
  arguments: [],
  options: {
    limits: flag('show the limits of requests in place of it, with where each comes from'),
    watch: flag('show it again and again, until Ctrl-C'),
    interval: option(z.coerce.number({ error: 'must be a number' }).min(1, { error: 'must be at least 1' }).default(30), 'seconds between two looks', {
      value: '<seconds>',
    }),
  },
  async run(context, _args, { limits, watch, interval }) {
    if (limits) {
      if (watch) throw new HearthError('usage', 'Limits do not change by themselves; leave out `--watch`.');
      const { requestLimits } = await import('../../../app/index.ts');
      return { data: { limits: await requestLimits(await context.loadConfig()) } };
    }
    let data = await look(context);
    if (!watch) return { data };
    if (context.common.json) throw new HearthError('usage', '`--json` prints one document; leave out `--watch`.');
    while (!context.signal.aborted) {
      context.output.text(`${new Date().toISOString()}\n${render(data)}\n\n`);
      await sleep(interval * 1000, undefined, { signal: context.signal }).catch(() => {});
      if (!context.signal.aborted) data = await look(context);
    }
    return { data, silent: true };
  },
  render: (data: StatusData | LimitsData): string => ('limits' in data ? renderLimits(data.limits) : render(data)),
});

interface LimitsData {
  readonly limits: readonly LimitRow[];
}

type StatusData = Awaited<ReturnType<typeof look>>;

/** Changes nothing: no daemon is started and no file is written. */
async function look(context: Context) {
  const { machine } = await import('../../../app/index.ts');
  const [{ profile }, daemon] = await Promise.all([machine(), askDaemon(context)]);
  return {
    services: daemon.services,
    no_stack: daemon.services.length === 0,
    message: daemon.message,
    hardware: {
      chip: profile.chip,
      gpu_cores: profile.gpuCores,
      memory_gb: Math.floor(profile.memoryBytes / 2 ** 30),
      bandwidth_gbps: profile.bandwidthGbps,
      is_estimate: profile.isEstimate,
      profile_id: profile.profileId,
    },
    daemon: daemon.daemon,
    security: { layers: daemon.layers, weakened: daemon.weakened, alerts: daemon.alerts },
    recording: [],
  };
}

async function askDaemon(context: Context) {
  const none = { state: 'stopped', pid: null, version: null, mode: null, desired: null, listeners: [] as string[], service: null };
  const start = performance.now();
  try {
    const found = await context.findDaemon({ anyVersion: true });
    if (found === null) return { ...NOTHING, message: 'No daemon runs. `hearth up` starts one, `hearth serve` one in the foreground.', daemon: none };
    const status = await found.client.call(endpoints.status, {}, { signal: AbortSignal.any([context.signal, AbortSignal.timeout(PROBE_MS)]) });
    const responseMs = performance.now() - start;
    const { gateway, mode, desired } = status.daemon;
    const healthy = responseMs > DEGRADED_MS ? 'degraded' : 'healthy';
    const own: ServiceRow = {
      ...EMPTY,
      tier: 'gateway',
      model: 'proxy',
      port: gateway.port,
      pid: status.pid,
      status: mode === 'serve' ? healthy : gateway.state === 'open' ? healthy : 'stopped',
      ...uptimeOf(mode === 'serve' ? status.started_at : gateway.openedAt),
      response_time: Math.round(responseMs) / 1000,
      in_flight: status.models.reduce((sum, model) => sum + model.inFlight, 0),
      queued: status.models.reduce((sum, model) => sum + model.waiting, 0),
    };
    return {
      services: [own, ...status.models.map(modelRow)],
      layers: status.models.flatMap(({ id, pid, protection }) => (protection === null ? [] : [{ model: id, pid, ...protection }])),
      weakened: status.weakened,
      alerts: status.alerts ?? NOTHING.alerts,
      message: status.draining ? 'The daemon is stopping.' : null,
      daemon: {
        state: status.draining ? 'stopping' : 'running',
        pid: status.pid,
        version: status.version,
        mode,
        desired,
        listeners: status.listeners,
        service: mode === 'service' ? 'managed' : null,
      },
    };
  } catch (error) {
    if (context.signal.aborted) throw error;
    // Whatever is wrong with the daemon is its status.
    return { ...NOTHING, message: (error as Error).message, daemon: { ...none, state: 'no answer' } };
  }
}

type Layers = { readonly model: string; readonly pid: number | null } & NonNullable<ResidentModel['protection']>;
const NOTHING = { services: [] as ServiceRow[], layers: [] as Layers[], weakened: [] as string[], alerts: { open: 0, worst: null as string | null } };

const EMPTY = {
  engine: null,
  quant: null,
  port: null,
  flapping: false,
  memory_gib: null,
  decode_tps: null,
  context_tokens: null,
  restarts: 0,
  last_error: null,
} as const;

function modelRow(model: ResidentModel): ServiceRow {
  return {
    ...EMPTY,
    tier: null,
    model: model.id,
    engine: model.engine,
    pid: model.pid,
    status: STATES[model.state],
    ...uptimeOf(model.loadedAt),
    response_time: null,
    memory_gib: model.memoryBytes === null ? null : Math.round((model.memoryBytes / 2 ** 30) * 100) / 100,
    in_flight: model.inFlight,
    queued: model.waiting,
    context_tokens: model.contextTokens,
    restarts: model.crashes,
    last_error: model.error?.message ?? null,
  };
}

function uptimeOf(since: string | null): { uptime: number | null; uptime_display: string } {
  if (since === null) return { uptime: null, uptime_display: '-' };
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(since)) / 1000));
  return {
    uptime: seconds,
    uptime_display: seconds < 3600 ? formatSeconds(seconds) : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`,
  };
}

/** One line for an engine: its cage, the layers of its limits, and what the kernel holds it to. */
function protectionLine({ model, cage, strength, outer, layers, limits, reason }: Layers): string {
  const walls = `${cage}${strength === 'strong' ? '' : ` (${strength}${reason === null ? '' : `: ${reason}`})`}${outer === null ? '' : ` in ${outer}`}`;
  return `${model}  cage ${walls}; limits ${layers.join(' + ') || 'none'}, memory ≤ ${(limits.memoryBytes / 2 ** 30).toFixed(1)} GiB`;
}

function render({ hardware, services, message, daemon, security }: StatusData): string {
  const running = daemon.pid === null ? daemon.state : `${daemon.state}, hearth ${daemon.version}, pid ${daemon.pid}, ${daemon.mode}, wanted ${daemon.desired}`;
  const bandwidth = hardware.bandwidth_gbps === null ? '' : `, ${hardware.bandwidth_gbps} GB/s${hardware.is_estimate ? ' (estimated)' : ''}`;
  return [
    `Machine  ${hardware.chip}, ${hardware.memory_gb} GiB${bandwidth}`,
    `Daemon   ${running}`,
    ...daemon.listeners.map((address) => `         ${address}`),
    ...(message === null ? [] : ['', message]),
    ...(services.length === 0
      ? []
      : [
          '',
          table(
            [
              { title: 'Tier' },
              { title: 'Model' },
              { title: 'Engine' },
              { title: 'Status' },
              { title: 'Uptime', align: 'right' },
              { title: 'Memory', align: 'right' },
              { title: 'In flight', align: 'right' },
            ],
            services.map((row) => [
              row.tier ?? '-',
              row.model,
              row.engine ?? '-',
              row.flapping ? `${row.status} [FLAPPING]` : row.status,
              row.uptime_display,
              row.memory_gib === null ? '-' : `${row.memory_gib.toFixed(2)} GiB`,
              String(row.in_flight),
            ]),
          ),
        ]),
    ...(security.layers.length === 0 ? [] : ['', ...security.layers.map(protectionLine)]),
    ...(security.alerts.open === 0
      ? []
      : ['', `Alerts   ${security.alerts.open} open, the worst ${security.alerts.worst}: \`hearth audit alerts\` shows them.`]),
    ...(security.weakened.length === 0 ? [] : ['', `Weakened: ${security.weakened.join(', ')}`]),
  ].join('\n');
}

/** Two tables, each within 80 columns as long as nothing is set: a key is told with its origin where that is not the default. */
function renderLimits(rows: readonly LimitRow[]): string {
  const columns = [{ title: 'Limit' }, { title: 'Value', align: 'right' }, { title: 'Over it' }] as const;
  const cells = ({ limit, value, unit, over }: LimitRow): string[] => [limit, amount(value, unit), over];
  const source = ({ origin, place }: LimitRow): string => (origin === 'default' ? '' : ` (${place === null ? origin : `${origin}: ${place}`})`);
  return [
    'Set by the configuration',
    table(
      [...columns, { title: 'Key' }],
      rows.flatMap((row) => (row.key === null ? [] : [[...cells(row), row.key + source(row)]])),
    ),
    '',
    'Built in',
    table(columns, rows.filter(({ key }) => key === null).map(cells)),
  ].join('\n');
}

function amount(value: number, unit: LimitRow['unit']): string {
  if (unit === 'per minute' && value === 0) return 'none';
  if (unit === 'bytes') return value % 2 ** 20 === 0 ? `${value / 2 ** 20} MiB` : value % 2 ** 10 === 0 ? `${value / 2 ** 10} KiB` : formatSize(value);
  if (unit === 'ms') return formatSeconds(value / 1000);
  return unit === 'count' ? String(value) : unit === 'hertz' ? `${value} Hz` : `${value} ${unit}`;
}
