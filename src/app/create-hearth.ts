import { join } from 'node:path';
import { createApi } from '../api/index.ts';
import { createCatalog } from '../catalog/index.ts';
import { readHubEnvironment } from '../config/index.ts';
import { registerSecret, silentLogger, systemClock } from '../core/index.ts';
import { createGateway, createKeyLimits, createMemoryStateStore, createStoreModels } from '../gateway/index.ts';
import { createMemoryPressure, memoryTotalBytes } from '../hardware/index.ts';
import { createAccess, createApiKeyStore } from '../security/index.ts';
import { createLaunchJournal, createSupervisor } from '../supervisor/index.ts';
import { createLogBook, createLogger, createTelemetry } from '../telemetry/index.ts';
import { withCatalog } from './catalogued-store.ts';
import { collectGauges, readerOf } from './collect-gauges.ts';
import { createEngines, engineOptionsOf, probeOf } from './create-engines.ts';
import { createHearthStore } from './create-hearth-store.ts';
import type { Hearth, HearthOptions } from './hearth-options.ts';

/** The only place that constructs everything: config in, the product out. */
export async function createHearth(options: HearthOptions): Promise<Hearth> {
  const { config } = options;
  const hub = readHubEnvironment(options.env, options.userHome);
  if (hub.token !== undefined) registerSecret('hub-token', hub.token);
  const logger = options.silent
    ? silentLogger
    : createLogger({ level: config.logs.level, json: config.logs.json, output: options.stderr, userHome: options.userHome });
  const supervisor = createSupervisor({
    environment: options.env,
    ...(options.journalPath === undefined ? {} : { journal: createLaunchJournal({ path: options.journalPath, logger }) }),
    onLine: (line, child) => logger.debug(line, { pid: child.pid, stream: child.stream }),
  });
  const engines = createEngines(options.home);
  const engineOptions = engineOptionsOf(config);
  const catalog = createCatalog();
  const store = withCatalog(createHearthStore(options, hub, probeOf(engines, engineOptions), logger), catalog, config.models.defaultQuant);
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
  const gateway = createGateway({
    models: createStoreModels(store),
    engines,
    supervisor,
    engineOptions,
    contextTokens: config.gateway.contextTokens,
    parallelSequences: config.gateway.parallelSequences,
    ttlSeconds: config.gateway.ttlSeconds,
    maxTokens: config.serve.maxTokens,
    sampling: { temperature: config.sampling.temperature, topP: config.sampling.topP, repetitionPenalty: config.sampling.repetitionPenalty },
    queueWaitMs: config.gateway.queueWaitMs,
    requestMs: config.gateway.requestMs,
    fairnessMs: config.gateway.fairnessMs,
    progressTimeoutMs: config.gateway.progressTimeoutMs,
    drainTimeoutMs: config.gateway.drainTimeoutMs,
    memoryBudgetBytes: Math.floor(((await memoryTotalBytes()) * config.memory.hardLimitPct) / 100),
    routing: { upstreams: createUpstreams(config.remotes, options.env, logger) },
    memory: createMemoryPressure(),
    events: telemetry.events,
    clock: systemClock,
    logger,
  });
  const api = createApi({
    gateway,
    store,
    catalog,
    version: options.version,
    media: { remoteUrls: config.media.remoteUrls },
    images: { exif: config.run.exifMetadata, context: config.run.metadataContext },
    embeddings: { backend: config.serve.embedBackend, truncate: config.embeddings.truncate },
    heartbeatMs: config.gateway.heartbeatMs,
    headerHoldMs: config.gateway.headerHoldMs,
    slowClientTimeoutMs: config.gateway.slowClientTimeoutMs,
    logger,
    clock: systemClock,
    events: telemetry.events,
    observeContent: config.telemetry.content,
    telemetry: readerOf(telemetry),
    logs: options.logs ?? createLogBook(join(options.home, 'logs')),
    ...(options.daemon ? { daemon: options.daemon } : {}),
    ...(options.listeners ? { listeners: options.listeners } : {}),
  });
  collectGauges(telemetry, gateway);
  return {
    request: (request, origin) => api.request(request, origin),
    logger,
    models: () => gateway.snapshot().models,
    async close(how = {}) {
      await gateway.close(how.drainTimeoutMs === undefined ? {} : { drainTimeoutMs: how.drainTimeoutMs });
      await supervisor[Symbol.asyncDispose]();
      keys.close();
      await telemetry[Symbol.asyncDispose]();
    },
  };
}
