import { type AlertJson, endpoints, type SilenceJson } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { type Alert, callerId, type Detection, type Silence } from '../../security/index.ts';
import type { Handler } from '../bind.ts';
import type { Services } from '../services.ts';

/** The alerts of the home; made on use in a process that is no daemon. */
export type AlertService = () => Pick<Detection, 'alerts' | 'sinks'>;

const LONGEST_SILENCE_MS = 30 * 86_400_000;

/** Binds the routes of this file. */
export function bindAlerts(on: <E extends (typeof endpoints)[keyof typeof endpoints]>(endpoint: E, handler: Handler<E>) => void, services: Services): void {
  const { clock } = services;
  const of = () => {
    if (services.alerts === null) throw new HearthError('not_implemented', 'This process keeps no alerts.');
    return services.alerts();
  };
  on(endpoints.alerts, async ({ query: { all } }) => {
    const { alerts, sinks } = of();
    const wanted = alerts.list().filter(({ acknowledged }) => all === 'true' || acknowledged === null);
    return { alerts: wanted.map(alertOf), silences: alerts.silences(clock.now()).map(silenceOf), sinks: [...sinks] };
  });
  on(endpoints.acknowledgeAlert, async ({ params: { id } }, { caller }) => {
    const alert = of().alerts.acknowledge(id, callerId(caller), clock.now());
    if (alert === null) throw notFound(`No open alert has the id ${id}.`);
    return { alert: alertOf(alert) };
  });
  on(endpoints.silenceAlerts, async ({ body: { rule, subject = null, until, reason = null } }, { caller }) => {
    const untilMs = Date.parse(until);
    const now = clock.now();
    if (untilMs <= now || untilMs > now + LONGEST_SILENCE_MS)
      throw new HearthError('invalid_value', 'A silence ends within the next 30 days.', { details: { param: 'until' } });
    return { silence: silenceOf(of().alerts.silence({ rule, subject, untilMs, reason, by: callerId(caller) }, now)) };
  });
  on(endpoints.endSilence, async ({ params: { id } }, { caller }) => {
    if (!of().alerts.endSilence(id, callerId(caller))) throw notFound(`No silence has the id ${id}.`);
    return { id, ended: true };
  });
}

/** For the status: how many alerts nobody has acknowledged, and how bad the worst is. */
export function openAlerts({ alerts }: Pick<Services, 'alerts'>): { open: number; worst: Alert['severity'] | null } {
  const open =
    alerts === null
      ? []
      : alerts()
          .alerts.list()
          .filter(({ acknowledged }) => acknowledged === null);
  const worst = SEVERITIES.findLast((severity) => open.some((alert) => alert.severity === severity)) ?? null;
  return { open: open.length, worst };
}

const SEVERITIES = ['info', 'low', 'medium', 'high', 'critical'] as const;
const notFound = (message: string): HearthError => new HearthError('alert_not_found', message);
const time = (ms: number): string => new Date(ms).toISOString();

function alertOf({ id, rule, subject, severity, message, details, firstAtMs, lastAtMs, count, escalated, acknowledged }: Alert): AlertJson {
  const seen = acknowledged === null ? null : { by: acknowledged.by, at: time(acknowledged.atMs) };
  return { id, rule, subject, severity, message, details, firstAt: time(firstAtMs), lastAt: time(lastAtMs), count, escalated, acknowledged: seen };
}

const silenceOf = ({ untilMs, ...silence }: Silence): SilenceJson => ({ ...silence, until: time(untilMs) });
