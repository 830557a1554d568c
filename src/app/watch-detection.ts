import { hostname, uptime } from 'node:os';
import { join } from 'node:path';
import type { RequestInspector } from '../api/index.ts';
import type { Config } from '../config/index.ts';
import type { ProductEvent } from '../contract/index.ts';
import { type Clock, HearthError, type Logger, registerSecret, type SecurityEventSink, type SecuritySeverity } from '../core/index.ts';
import type { Gateway } from '../gateway/index.ts';
import {
  type AlertSink,
  createCommandSink,
  createDesktopSink,
  createDetection,
  createFileSink,
  createLogSink,
  createOtlpSink,
  createSyslogSink,
  createWebhookSink,
  type Detection,
  foreignTexts,
  type RunProgram,
  type SecurityLog,
  SUSPICIOUS,
  scoreTexts,
} from '../security/index.ts';
import { runCommand } from '../supervisor/index.ts';
import type { Telemetry } from '../telemetry/index.ts';

export interface DetectionPlaces {
  readonly home: string;
  readonly events: SecurityEventSink;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface WatchOptions extends DetectionPlaces {
  readonly config: Pick<Config, 'alerts' | 'security' | 'telemetry'>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly heartbeatMs: number;
  readonly log: SecurityLog;
  readonly telemetry: Pick<Telemetry, 'subscribe'>;
  readonly gateway: Pick<Gateway, 'snapshot' | 'memory'>;
}

const TICK_MS = 30_000;

/** Of a process that only looks at alerts, or acknowledges them. */
export const createAlerts = ({ home, ...rest }: DetectionPlaces): Detection =>
  createDetection({ ...rest, path: join(home, 'state', 'alerts.json'), sinks: [], host: hostname(), uptimeMs: () => uptime() * 1000 });

/** Rules over all that a daemon does, and who is told of it (docs/spec/security.md §18). */
export function createWatchedDetection(options: Omit<WatchOptions, 'log' | 'telemetry' | 'gateway'>): Detection {
  const { home, events, clock, logger, heartbeatMs } = options;
  const sinks = sinksOf(options).map((sink) => fromSeverity(sink, options.config.alerts.minSeverity));
  return createDetection({
    path: join(home, 'state', 'alerts.json'),
    events,
    clock,
    logger,
    heartbeatMs,
    sinks,
    host: hostname(),
    uptimeMs: () => uptime() * 1000,
  });
}

/** Hands the detection what the daemon knows; ends before it. */
export function watch(detection: Detection, { log, telemetry, gateway }: Pick<WatchOptions, 'log' | 'telemetry' | 'gateway'>): Disposable {
  const stops = [
    log.subscribe((line) => detection.take({ kind: 'line', line })),
    telemetry.subscribe((event: ProductEvent) => {
      if (event.kind === 'request-end') detection.take({ kind: 'request', event });
      else if (event.kind === 'memory-pressure') detection.take({ kind: 'pressure', level: event.level, reason: event.reason });
    }),
  ];
  const timer = setInterval(() => {
    detection.tick();
    const { bytesOf } = gateway.memory();
    for (const { id, pid, state, protection } of gateway.snapshot().models) {
      const usedBytes = pid === null || (state !== 'ready' && state !== 'busy') ? null : bytesOf(pid);
      if (usedBytes !== null && protection !== null) detection.take({ kind: 'memory', model: id, usedBytes, limitBytes: protection.limits.memoryBytes });
    }
  }, TICK_MS).unref();
  detection.tick();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      for (const stop of stops) stop();
    },
  };
}

/** Scores the new texts of each request: before it is answered where it may be refused, else beside it. */
export function createInspector(detection: Detection, block: () => boolean): RequestInspector {
  return (body, facts) => {
    const look = (): number => {
      const { score, ...found } = scoreTexts(foreignTexts(body));
      if (score > 0 || found.encodedCharacters > 0) detection.take({ kind: 'prompt', facts: { ...facts, score, ...found } });
      return score;
    };
    if (!block()) setImmediate(look);
    else if (look() >= SUSPICIOUS) throw new HearthError('prompt_refused', 'The new texts of this request look like an attempt to take over the model.');
  };
}

function sinksOf({ config, env, home, version, logger, events }: Omit<WatchOptions, 'log' | 'telemetry' | 'gateway'>): AlertSink[] {
  const sinks: AlertSink[] = [];
  const run = runner(home, env);
  // A sink that is configured wrongly must not keep the daemon from starting; nor may it be forgotten.
  const add = (name: string, wanted: boolean, make: () => AlertSink): void => {
    if (!wanted) return;
    try {
      sinks.push(make());
    } catch (error) {
      logger.error('A sink of alerts cannot be used.', { sink: name, error });
      events.record({
        event: 'sink.dead',
        outcome: 'failed',
        reason: name,
        details: { sink: name, why: error instanceof Error ? error.message : String(error) },
      });
    }
  };
  const secret = env[config.alerts.webhook.secretEnv];
  add('file', config.alerts.file, () => createFileSink(join(home, 'logs', 'alerts.jsonl')));
  add('stderr', config.alerts.stderr, () => createLogSink(logger));
  add('desktop', config.alerts.desktop, () => createDesktopSink(process.platform, run));
  add('syslog', config.alerts.syslog !== null, () => createSyslogSink({ address: config.alerts.syslog!, pid: process.pid }));
  add('otlp', config.alerts.otlp, () => {
    if (config.telemetry.otlpEndpoint === null) throw new HearthError('config_invalid', 'alerts.otlp needs telemetry.otlpEndpoint.');
    return createOtlpSink({ endpoint: config.telemetry.otlpEndpoint, version });
  });
  add('webhook', config.alerts.webhook.url !== null, () => {
    if (!secret)
      throw new HearthError('config_invalid', `The webhook needs a secret to sign with, in the environment variable ${config.alerts.webhook.secretEnv}.`);
    registerSecret('webhook-secret', secret);
    return createWebhookSink({ url: config.alerts.webhook.url!, secret });
  });
  add('command', config.alerts.command.length > 0, () => createCommandSink(config.alerts.command, run));
  return sinks;
}

const SEVERITIES: readonly SecuritySeverity[] = ['info', 'low', 'medium', 'high', 'critical'];

const fromSeverity = (sink: AlertSink, least: SecuritySeverity): AlertSink => ({
  ...sink,
  accepts: ({ alert }) => SEVERITIES.indexOf(alert.severity) >= SEVERITIES.indexOf(least),
});

/** What a program of this user needs to find others and the desktop; no secrets of the daemon. */
const PASSED = ['PATH', 'HOME', 'LANG', 'DISPLAY', 'WAYLAND_DISPLAY', 'XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS'];
const PROGRAM_MS = 10_000;

const runner =
  (home: string, env: Readonly<Record<string, string | undefined>>): RunProgram =>
  async ([command = '', ...args], environment, signal) => {
    const passed = Object.fromEntries(PASSED.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
    const { code } = await runCommand({ command, args, cwd: home, env: { ...passed, ...environment }, silenceMs: PROGRAM_MS, signal });
    if (code !== 0) throw new Error(`${command} ended with code ${code}`);
  };
