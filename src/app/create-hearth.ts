import { join } from 'node:path';
import { createApi } from '../api/index.ts';
import { createCatalog } from '../catalog/index.ts';
import { readHubEnvironment } from '../config/index.ts';
import { HearthError, LEAK_CHARACTERS, registerSecret, silentLogger, systemClock } from '../core/index.ts';
import { createGateway, createKeyLimits, createStoreModels, type Gateway } from '../gateway/index.ts';
import { createMemoryPressure, memoryTotalBytes } from '../hardware/index.ts';
import { createAccess, createApiKeyStore, createIntake, createSecurityLog, createSigningKeys, createTrust } from '../security/index.ts';
import { createEnclosure, createHelperPool, createLaunchJournal, createSupervisor, forbidCoreDumps } from '../supervisor/index.ts';
import { createLogBook, createLogger, createTelemetry, type Telemetry } from '../telemetry/index.ts';
import { createAuditReader } from './audit-reader.ts';
import { withCatalog } from './catalogued-store.ts';
import { collectGauges, readerOf } from './collect-gauges.ts';
import { createEngines, engineOptionsOf, mlxEnvironments, probeOf } from './create-engines.ts';
import { createHearthStore, resolvePlaces, storePlaces } from './create-hearth-store.ts';
import { collectDependencyGauges } from './dependency-state.ts';
import { createEngineInstalls } from './engine-installs.ts';
import { gatewayTimes } from './gateway-times.ts';
import type { Hearth, HearthOptions } from './hearth-options.ts';
import { createListenerAccess } from './listener-access.ts';
import { createLiveConfig } from './live-config.ts';
import { withSecurityEvents } from './recorded-store.ts';
import { keyRedactionOf } from './redaction-key.ts';
import { wireRouting } from './routing-options.ts';
import { recordProductEvents, watchSecurityLog } from './security-events.ts';
import { createAlerts, createInspector, createWatchedDetection, watch } from './watch-detection.ts';

/** How often a daemon writes that it lives. */
const AUDIT_HEARTBEAT_MS = 300_000;

/** The only place that constructs everything: config in, the product out. */
export async function createHearth(options: HearthOptions): Promise<Hearth> {
  const ground = await layGround(options);
  const { config, home, logger, events, live } = ground;
  const processes = createProcesses(options, ground);
  const models = createModels(options, ground, processes);
  const telemetry = createObservation(options, ground);
  const { gateway, routing } = await createServing(options, ground, { ...processes, ...models, telemetry });
  const keys = createApiKeyStore({ path: join(home, 'state', 'access.sqlite'), clock: systemClock });
  const access = createListenerAccess({ live, keys, logger, events });
  const guard = createGuard(options, ground);
  const api = createApi({
    gateway,
    store: models.store,
    catalog: models.catalog,
    engines: createEngineInstalls(models.engines, models.environments),
    version: options.version,
    media: { remoteUrls: config.media.remoteUrls },
    images: { exif: config.run.exifMetadata, context: config.run.metadataContext },
    embeddings: { backend: config.serve.embedBackend, truncate: config.embeddings.truncate },
    get heartbeatMs() {
      return live.config.gateway.heartbeatMs;
    },
    get headerHoldMs() {
      return live.config.gateway.headerHoldMs;
    },
    get slowClientTimeoutMs() {
      return live.config.gateway.slowClientTimeoutMs;
    },
    get maxBodyBytes() {
      return live.config.limits.bodyBytes;
    },
    keys,
    access: createAccess({
      keys,
      clock: systemClock,
      logger,
      events,
      authFailures: () => live.config.limits.authFailures,
      prefixIsolation: () => live.config.prefixCache.isolation,
    }),
    limits: createKeyLimits({ store: routing.limitStore, defaultRpm: () => live.config.access.rateLimitRpm }),
    reloads: live,
    audit: createAuditReader(home, events, systemClock),
    alerts: guard.alerts,
    ...(guard.detection ? { inspect: createInspector(guard.detection, () => live.config.security.injection.block) } : {}),
    securityEvents: events,
    logger,
    clock: systemClock,
    events: telemetry.events,
    observeContent: config.telemetry.content,
    telemetry: readerOf(telemetry),
    logs: options.logs ?? createLogBook(join(home, 'logs')),
    ...(options.daemon ? { daemon: options.daemon } : {}),
    ...(options.listeners ? { listeners: options.listeners } : {}),
    weakened: () => [...(config.security.sandbox === 'off' ? ['security.sandbox off'] : []), ...models.trust.weakened()],
    trust: { trust: models.trust, keys: createSigningKeys({ home, trust: models.trust, clock: systemClock, beforePrivate: forbidCoreDumps }) },
  });
  collectGauges(telemetry, gateway);
  collectDependencyGauges(telemetry, home, systemClock.now);
  guard.begin({ telemetry, gateway });
  return {
    request: (request, origin) => api.request(request, origin),
    logger,
    securityEvents: events,
    access,
    reloads: live,
    models: () => gateway.snapshot().models,
    async close(how = {}) {
      await gateway.close(how.drainTimeoutMs === undefined ? {} : { drainTimeoutMs: how.drainTimeoutMs });
      await routing[Symbol.asyncDispose]();
      await processes.supervisor[Symbol.asyncDispose]();
      keys.close();
      models.trust.close();
      await guard[Symbol.asyncDispose]();
      await telemetry[Symbol.asyncDispose]();
      await events[Symbol.asyncDispose]();
    },
  };
}

/** What everything else stands on: the configuration as it is now, the log, the security log. */
async function layGround({ config, home, env, userHome, silent, stderr, daemon, readConfig }: HearthOptions) {
  const hub = readHubEnvironment(env, userHome);
  await keyRedactionOf(home, daemon !== undefined);
  if (hub.token !== undefined) registerSecret('hub-token', hub.token);
  for (const canary of canariesOf(env[config.security.canaryEnv], config.security.canaryEnv)) registerSecret('canary', canary);
  const logger = silent ? silentLogger : createLogger({ level: config.logs.level, json: config.logs.json, output: stderr, userHome });
  const events = createSecurityLog({ home, clock: systemClock, logger, heartbeatMs: daemon ? AUDIT_HEARTBEAT_MS : null });
  const live = createLiveConfig({ config, clock: systemClock, logger, events, ...(readConfig ? { read: readConfig } : {}) });
  return { config, home, hub, logger, events, live };
}

/** Throws config_invalid for a text that a model may say by chance, which nobody would watch. */
function canariesOf(text: string | undefined, name: string): string[] {
  const canaries = (text ?? '').split('\n').flatMap((line) => line.trim() || []);
  if (canaries.some((canary) => canary.length < LEAK_CHARACTERS))
    throw new HearthError('config_invalid', `Each line of the environment variable ${name} needs ${LEAK_CHARACTERS} characters at least.`);
  return canaries;
}

type Ground = Awaited<ReturnType<typeof layGround>>;

/** Everything that starts children. */
function createProcesses({ env, journalPath }: HearthOptions, { config, home, logger, events }: Ground) {
  const enclosure = createEnclosure({
    mode: config.security.sandbox,
    environment: env,
    events,
    onWeak: ({ kind, detail, reason }) => logger.warning('Engines run in a weak cage, or in none.', { cage: kind, detail, reason }),
  });
  const supervisor = createSupervisor({
    environment: env,
    enclosure,
    ...(journalPath === undefined ? {} : { journal: createLaunchJournal({ path: journalPath, logger }) }),
    onLine: (line, child) => logger.debug(line, { pid: child.pid, stream: child.stream }),
  });
  const helpers = createHelperPool({ supervisor, directory: join(home, 'run', 'helpers') });
  const intake = createIntake({ helpers, events, recordsDirectory: join(home, 'state', 'intake'), clock: systemClock });
  return { supervisor, helpers, intake };
}

type Processes = ReturnType<typeof createProcesses>;

/** The models of this home: which engines run them, who judges them, where they are kept. */
function createModels(options: HearthOptions, { config, home, hub, logger, events }: Ground, { helpers, intake }: Processes) {
  const environments = mlxEnvironments(home, { python: config.engines.mlx.python, environment: options.env });
  const engines = createEngines(home, environments, helpers);
  const trust = createTrust({
    home,
    ...resolvePlaces(storePlaces(config, hub, options.userHome), options.cwd),
    events,
    intake: (request) => intake.review(request),
    clock: systemClock,
    logger,
  });
  // A daemon does not begin with a policy that somebody else wrote; other verbs are refused when they load.
  if (options.daemon) trust.start();
  const own = createHearthStore(options, hub, probeOf(engines, engineOptionsOf(config)), logger, intake, trust);
  const recorded = withSecurityEvents(own, { events, source: config.hub.endpoint });
  const catalog = createCatalog();
  return { environments, engines, trust, catalog, store: withCatalog(recorded, catalog, config.models.defaultQuant) };
}

function createObservation({ env, version, daemon }: HearthOptions, { config, home, logger, events }: Ground): Telemetry {
  const telemetry = createTelemetry({
    version,
    aliases: config.metrics.aliases,
    otlpEndpoint: config.telemetry.otlpEndpoint,
    latestNames: (env['OTEL_SEMCONV_STABILITY_OPT_IN'] ?? '').split(',').includes('gen_ai_latest_experimental'),
    captureDirectory: config.captures.enabled ? join(home, 'captures') : null,
    usagePath: daemon ? join(home, 'state', 'usage.sqlite') : null,
    clock: systemClock,
    logger,
  });
  telemetry.subscribe(recordProductEvents(events));
  return telemetry;
}

/** The gateway, which follows the configuration when that is read again. */
async function createServing(
  { env }: HearthOptions,
  { config, home, logger, live }: Ground,
  { supervisor, engines, trust, store, telemetry }: Processes & ReturnType<typeof createModels> & { readonly telemetry: Telemetry },
) {
  const routing = await wireRouting({ config, env, home, clock: systemClock, logger, events: telemetry.events });
  const gateway = createGateway({
    models: createStoreModels(store),
    engines,
    defaultEngine: config.engines.default === 'auto' ? null : config.engines.default,
    supervisor,
    trust,
    ...gatewayTimes(config),
    drainTimeoutMs: config.gateway.drainTimeoutMs,
    memoryBudgetBytes: Math.floor(((await memoryTotalBytes()) * config.memory.hardLimitPct) / 100),
    routing: routing.options,
    memory: createMemoryPressure(),
    events: telemetry.events,
    clock: systemClock,
    logger,
  });
  live.follow({
    check: (next) => gateway.checkReconfiguration(gatewayTimes(next)),
    async apply(next) {
      gateway.routing.configure(routing.settings(next));
      await gateway.reconfigure(gatewayTimes(next));
    },
  });
  return { gateway, routing };
}

/** What watches a daemon for attacks; other processes only keep the alerts of the home, where somebody asks for them. */
function createGuard({ env, version, daemon }: HearthOptions, { config, home, logger, events }: Ground) {
  const places = { home, events, clock: systemClock, logger };
  const detection = daemon ? createWatchedDetection({ ...places, config, env, version, heartbeatMs: AUDIT_HEARTBEAT_MS }) : null;
  let alerts = detection;
  const running: Disposable[] = [];
  return {
    detection,
    // Made on use: most commands never ask.
    alerts: () => (alerts ??= createAlerts(places)),
    begin({ telemetry, gateway }: { readonly telemetry: Telemetry; readonly gateway: Gateway }): void {
      if (detection === null) return;
      const onVerified = (ok: boolean, fault: string | null) => detection.take({ kind: 'verified', ok, fault });
      running.push(watchSecurityLog({ log: events, home, telemetry, clock: systemClock, logger, onVerified }));
      running.push(watch(detection, { log: events, telemetry, gateway }));
    },
    async [Symbol.asyncDispose]() {
      for (const each of running) each[Symbol.dispose]();
      await alerts?.[Symbol.asyncDispose]();
    },
  };
}
