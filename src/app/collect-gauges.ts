import type { TelemetryReader } from '../api/index.ts';
import type { Gateway } from '../gateway/index.ts';
import type { Telemetry } from '../telemetry/index.ts';

const PER_MODEL = [
  'hearth_requests_running',
  'hearth_requests_waiting',
  'hearth_kv_cache_bytes',
  'hearth_kv_cache_tokens',
  'hearth_kv_cache_usage_ratio',
  'hearth_prefix_cache_bytes',
  'hearth_model_memory_bytes',
  'hearth_engine_rss_bytes',
  'hearth_engine_steps',
] as const;
/** A child that does not answer in this time is left out of one reading. */
const STATS_MS = 500;

/** Reads the gauges from the run loop whenever `/metrics` is read: all of one moment. */
export function collectGauges({ registry }: Telemetry, gateway: Gateway): void {
  registry.onCollect(async () => {
    for (const name of PER_MODEL) registry.clear(name);
    const memory = gateway.memory();
    const { models } = gateway.snapshot();
    registry.set('hearth_memory_budget_bytes', [], memory.budgetBytes);
    registry.set('hearth_memory_used_bytes', [], memory.usedBytes ?? memory.chargedBytes);
    registry.set('hearth_memory_pressure_level', [], { normal: 0, soft: 1, hard: 2 }[memory.level]);
    // A breaker becomes half-open by time alone, which no event tells.
    for (const { upstream, breakers, inFlight, queued } of gateway.routing.upstreams()) {
      registry.set('hearth_requests_running', [upstream.name], inFlight);
      registry.set('hearth_requests_waiting', [upstream.name], queued);
      for (const { model, phase } of breakers) registry.set('hearth_breaker_state', [upstream.name, model], { closed: 0, 'half-open': 1, open: 2 }[phase]);
    }
    for (const { id, inFlight, waiting, pid } of models) {
      registry.set('hearth_requests_running', [id], inFlight);
      registry.set('hearth_requests_waiting', [id], waiting);
      const rss = pid === null ? null : memory.bytesOf(pid);
      if (rss !== null) registry.set('hearth_engine_rss_bytes', [id], rss);
    }
    const readings = await Promise.all(
      models
        .filter(({ state }) => state === 'ready' || state === 'busy')
        .map(async ({ id, contextTokens }) => ({ id, contextTokens, stats: await within(gateway.statsOf(id), STATS_MS) })),
    );
    for (const { id, contextTokens, stats } of readings) {
      if (!stats) continue;
      const { weightsBytes, kvBytes, computeBytes, processBytes } = stats.memory;
      for (const [kind, bytes] of Object.entries({
        weights: weightsBytes,
        kv: kvBytes,
        compute: computeBytes,
        process: processBytes,
        adapters: stats.adapterBytes ?? 0,
      }))
        registry.set('hearth_model_memory_bytes', [id, kind], bytes);
      registry.set('hearth_kv_cache_bytes', [id], kvBytes);
      if (contextTokens !== null) registry.set('hearth_kv_cache_tokens', [id], contextTokens);
      registry.set('hearth_engine_steps', [id], stats.steps);
      const pool = stats.cache;
      if (!pool || pool.totalCells === 0) continue;
      registry.set('hearth_kv_cache_usage_ratio', [id], pool.heldCells / pool.totalCells);
      registry.set('hearth_prefix_cache_bytes', [id], (kvBytes * pool.prefixCells) / pool.totalCells);
    }
  });
}

/** What the routes of observation read. */
export const readerOf = (telemetry: Telemetry): TelemetryReader => ({
  metricsText(streams) {
    telemetry.registry.set('hearth_stream_clients', [], streams);
    return telemetry.metricsText();
  },
  lastEventId: () => telemetry.feed.lastId,
  readEvents: (afterId, signal) => telemetry.feed.read(afterId, signal),
  readUsage: (wanted) => telemetry.usage.read(wanted),
  captures: telemetry.captures,
});

async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, null);
  });
  try {
    return await Promise.race([promise.catch(() => null), late]);
  } finally {
    clearTimeout(timer);
  }
}
