import { join } from 'node:path';
import { createApi } from '../api/index.ts';
import { createCatalog } from '../catalog/index.ts';
import { readHubEnvironment } from '../config/index.ts';
import { registerSecret, silentLogger, systemClock } from '../core/index.ts';
import { createGateway, createKeyLimits, createStoreModels } from '../gateway/index.ts';
import { createMemoryPressure, memoryTotalBytes } from '../hardware/index.ts';
import { createAccess, createApiKeyStore, createIntake, createSecurityLog, createSigningKeys, createTrust } from '../security/index.ts';
import { createEnclosure, createHelperPool, createLaunchJournal, createSupervisor, forbidCoreDumps } from '../supervisor/index.ts';
import { createLogBook, createLogger, createTelemetry } from '../telemetry/index.ts';
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
  const { config } = options;
  const home = options.home;
  const hub = readHubEnvironment(options.env, options.userHome);
  await keyRedactionOf(home, options.daemon !== undefined);
  if (hub.token !== undefined) registerSecret('hub-token', hub.token);
  const logger = options.silent
    ? silentLogger
    : createLogger({ level: config.logs.level, json: config.logs.json, output: options.stderr, userHome: options.userHome });
  const securityEvents = createSecurityLog({ home, clock: systemClock, logger, heartbeatMs: options.daemon ? AUDIT_HEARTBEAT_MS : null });
  const enclosure = createEnclosure({
    mode: config.security.sandbox,
    environment: options.env,
    events: securityEvents,
    onWeak: ({ kind, detail, reason }) => logger.warning('Engines run in a weak cage, or in none.', { cage: kind, detail, reason }),
  });
  const supervisor = createSupervisor({
    environment: options.env,
    enclosure,
    ...(options.journalPath === undefined ? {} : { journal: createLaunchJournal({ path: options.journalPath, logger }) }),
    onLine: (line, child) => logger.debug(line, { pid: child.pid, stream: child.stream }),
  });
  const helpers = createHelperPool({ supervisor, directory: join(home, 'run', 'helpers') });
  const intake = createIntake({ helpers, events: securityEvents, recordsDirectory: join(home, 'state', 'intake'), clock: systemClock });
  const live = createLiveConfig({ config, clock: systemClock, logger, events: securityEvents, ...(options.readConfig ? { read: options.readConfig } : {}) });
  const environments = mlxEnvironments(home, { python: config.engines.mlx.python, environment: options.env });
  const engines = createEngines(home, environments, helpers);
  const engineOptions = engineOptionsOf(config);
  const catalog = createCatalog();
  const trust = createTrust({
    home,
    ...resolvePlaces(storePlaces(config, hub, options.userHome), options.cwd),
    events: securityEvents,
    intake: (request) => intake.review(request),
    clock: systemClock,
    logger,
  });
  // A daemon does not begin with a policy that somebody else wrote; other verbs are refused when they load.
  if (options.daemon) trust.start();
  const recorded = withSecurityEvents(createHearthStore(options, hub, probeOf(engines, engineOptions), logger, intake, trust), {
    events: securityEvents,
    source: config.hub.endpoint,
  });
  const store = withCatalog(recorded, catalog, config.models.defaultQuant);
  const telemetry = createTelemetry({
    version: options.version,
    aliases: config.metrics.aliases,
    otlpEndpoint: config.telemetry.otlpEndpoint,
    latestNames: (options.env['OTEL_SEMCONV_STABILITY_OPT_IN'] ?? '').split(',').includes('gen_ai_latest_experimental'),
    captureDirectory: config.captures.enabled ? join(options.home, 'captures') : null,
    usagePath: options.daemon ? join(options.home, 'state', 'usage.sqlite') : null,
    clock: systemClock,
    logger,
  });
  telemetry.subscribe(recordProductEvents(securityEvents));
  const routing = await wireRouting({ config, env: options.env, home, clock: systemClock, logger, events: telemetry.events });
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
  const keys = createApiKeyStore({ path: join(home, 'state', 'access.sqlite'), clock: systemClock });
  const access = createListenerAccess({ live, keys, logger, events: securityEvents });
  const places = { home, events: securityEvents, clock: systemClock, logger };
  const detection = options.daemon
    ? createWatchedDetection({ ...places, config, env: options.env, version: options.version, heartbeatMs: AUDIT_HEARTBEAT_MS })
    : null;
  let alerts = detection;
  const api = createApi({
    gateway,
    store,
    catalog,
    engines: createEngineInstalls(engines, environments),
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
      events: securityEvents,
      authFailures: () => live.config.limits.authFailures,
      prefixIsolation: () => live.config.prefixCache.isolation,
    }),
    limits: createKeyLimits({ store: routing.limitStore, defaultRpm: () => live.config.access.rateLimitRpm }),
    reloads: live,
    audit: createAuditReader(home, securityEvents, systemClock),
    // Made on use: most commands never ask.
    alerts: () => (alerts ??= createAlerts(places)),
    ...(detection ? { inspect: createInspector(detection, () => live.config.security.injection.block) } : {}),
    securityEvents,
    logger,
    clock: systemClock,
    events: telemetry.events,
    observeContent: config.telemetry.content,
    telemetry: readerOf(telemetry),
    logs: options.logs ?? createLogBook(join(options.home, 'logs')),
    ...(options.daemon ? { daemon: options.daemon } : {}),
    ...(options.listeners ? { listeners: options.listeners } : {}),
    weakened: () => [...(config.security.sandbox === 'off' ? ['security.sandbox off'] : []), ...trust.weakened()],
    trust: { trust, keys: createSigningKeys({ home, trust, clock: systemClock, beforePrivate: forbidCoreDumps }) },
  });
  collectGauges(telemetry, gateway);
  collectDependencyGauges(telemetry, home, systemClock.now);
  const onVerified = (ok: boolean, fault: string | null) => detection?.take({ kind: 'verified', ok, fault });
  const watched = options.daemon ? watchSecurityLog({ log: securityEvents, home, telemetry, clock: systemClock, logger, onVerified }) : null;
  const watching = detection === null ? null : watch(detection, { log: securityEvents, telemetry, gateway });
  return {
    request: (request, origin) => api.request(request, origin),
    logger,
    securityEvents,
    access,
    reloads: live,
    models: () => gateway.snapshot().models,
    async close(how = {}) {
      await gateway.close(how.drainTimeoutMs === undefined ? {} : { drainTimeoutMs: how.drainTimeoutMs });
      await routing[Symbol.asyncDispose]();
      await supervisor[Symbol.asyncDispose]();
      keys.close();
      trust.close();
      watched?.[Symbol.dispose]();
      watching?.[Symbol.dispose]();
      await alerts?.[Symbol.asyncDispose]();
      await telemetry[Symbol.asyncDispose]();
      await securityEvents[Symbol.asyncDispose]();
    },
  };
}
