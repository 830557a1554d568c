import type { endpoints, NumberedProductEvent } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Handler } from '../bind.ts';
import type { Services } from '../services.ts';

/** The same for one that is over and one of another owner. */
export const noRequest = (id: string): HearthError =>
  new HearthError('request_not_found', `No request ${id.slice(0, 64)} waits or runs here.`, { details: { param: 'id' } });

const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8';

export const metricsHandler =
  ({ telemetry, requests }: Services): Handler<typeof endpoints.metrics> =>
  async () =>
    new Response(await telemetry.metricsText(streamsOf(requests)), { headers: { 'content-type': PROMETHEUS } });

const streamsOf = (requests: Services['requests']): number => [...requests.values()].filter(({ streaming }) => streaming).length;

export const liveRequestsHandler =
  ({ gateway, requests, clock }: Services): Handler<typeof endpoints.liveRequests> =>
  async (_, { requestId }) => ({
    seq: gateway.snapshot().seq,
    requests: [...requests.values()]
      .filter(({ id }) => id !== requestId)
      .map(({ id, method, route, keyId, phase, streaming, model, upstream, arrivedAt, pieces, trace }) => ({
        id,
        method,
        route,
        key: keyId,
        phase,
        stream: streaming,
        model,
        upstream,
        age_ms: clock.monotonic() - arrivedAt,
        pieces,
        trace_id: trace.traceId,
      })),
  });

export const cancelAnyRequestHandler =
  ({ gateway }: Services): Handler<typeof endpoints.cancelAnyRequest> =>
  async ({ params: { id } }) => {
    if (!gateway.cancel(id)) throw noRequest(id);
    return { id, cancelled: true };
  };

/** `ended: false`: it waits, answers already, or is answered elsewhere. */
export const endReasoningHandler =
  ({ gateway, requests }: Services): Handler<typeof endpoints.endReasoning> =>
  async ({ params: { id } }) => {
    if (!requests.has(id)) throw noRequest(id);
    return { id, ended: await gateway.endReasoning(id) };
  };

export const queueHandler =
  ({ gateway }: Services): Handler<typeof endpoints.queue> =>
  async () => ({
    seq: gateway.snapshot().seq,
    waiting: gateway.queue().map(({ model, owner, priority, sequences, waitedMs }) => ({ model, key: owner, priority, sequences, waited_ms: waitedMs })),
  });

export const cacheHandler =
  ({ gateway }: Services): Handler<typeof endpoints.cache> =>
  async () => {
    const { seq, models } = gateway.snapshot();
    const loaded = models.filter(({ state }) => state === 'ready' || state === 'busy');
    const rows = await Promise.all(loaded.map(async ({ id }) => ({ id, stats: await gateway.statsOf(id).catch(() => null) })));
    return {
      seq,
      caches: rows.flatMap(({ id, stats }) =>
        stats?.cache
          ? [
              {
                model: id,
                total_tokens: stats.cache.totalCells,
                held_tokens: stats.cache.heldCells,
                prefix_tokens: stats.cache.prefixCells,
                bytes: stats.memory.kvBytes,
              },
            ]
          : [],
      ),
    };
  };

export const clearCacheHandler =
  ({ gateway }: Services): Handler<typeof endpoints.clearCache> =>
  async ({ query }, { signal }) => {
    const id = query.model === undefined ? undefined : (await gateway.resolve(query.model, signal)).id;
    return { cleared: [...(await gateway.clearCaches(id))] };
  };

export const limitsHandler =
  ({ gateway, requests, maxBodyBytes }: Services): Handler<typeof endpoints.limits> =>
  async () => {
    const { seq, models } = gateway.snapshot();
    const { level, budgetBytes, chargedBytes, usedBytes } = gateway.memory();
    return {
      seq,
      memory: { level, budget_bytes: budgetBytes, charged_bytes: chargedBytes, used_bytes: usedBytes },
      requests: {
        running: models.reduce((sum, { inFlight }) => sum + inFlight, 0),
        waiting: models.reduce((sum, { waiting }) => sum + waiting, 0),
        streams: streamsOf(requests),
        max_body_bytes: maxBodyBytes,
      },
    };
  };

export const drainHandler =
  ({ gateway }: Services): Handler<typeof endpoints.drain> =>
  async () => {
    gateway.drain();
    return { draining: true, running: gateway.snapshot().models.reduce((sum, { inFlight }) => sum + inFlight, 0) };
  };

export const pinModelHandler =
  ({ gateway }: Services): Handler<typeof endpoints.pinModel> =>
  async ({ body }, { signal }) => {
    const model = await gateway.resolve(body.model, signal);
    await gateway.pin(model, body.pinned);
    return { id: model.id, pinned: body.pinned };
  };

/** GET events: the number of the last event of a frame is its id, so that a viewer that comes back goes on there. */
export const eventsHandler =
  ({ telemetry, heartbeatMs }: Services): Handler<typeof endpoints.events> =>
  async (_, { request, signal }) => {
    const last = Number(request.headers.get('last-event-id') ?? Number.NaN);
    const gone = new AbortController();
    const stop = AbortSignal.any([signal, gone.signal]);
    const frames = telemetry.readEvents(Number.isInteger(last) && last >= 0 ? last : telemetry.lastEventId(), stop);
    const encoder = new TextEncoder();
    let pending: Promise<IteratorResult<EventFrame, void>> | null = null;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => controller.enqueue(encoder.encode(': events\n\n')),
        async pull(controller) {
          pending ??= frames.next();
          const next = await withinHeartbeat(pending, heartbeatMs);
          if (gone.signal.aborted) return;
          if (next === null) return controller.enqueue(encoder.encode(': keep-alive\n\n'));
          pending = null;
          if (next.done) return controller.close();
          controller.enqueue(encoder.encode(frameText(next.value)));
        },
        cancel() {
          gone.abort();
          void frames.return().catch(() => {});
        },
      },
      // One frame at most waits in here: a slow viewer falls behind in the ring, which is bounded.
      { highWaterMark: 1 },
    );
    return new Response(body, { headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' } });
  };

interface EventFrame {
  readonly events: readonly NumberedProductEvent[];
  readonly missed: number;
}

function frameText({ events, missed }: EventFrame): string {
  const data = { missed, events: events.map(({ id, atMs, event }) => ({ id, at: new Date(atMs).toISOString(), ...event })) };
  return `id: ${events.at(-1)!.id}\ndata: ${JSON.stringify(data)}\n\n`;
}

async function withinHeartbeat<T>(promise: Promise<T>, ms: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, ms, null);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const usageHandler =
  ({ telemetry }: Services): Handler<typeof endpoints.usage> =>
  async ({ query }) => {
    const rows = telemetry.readUsage({
      ...(query.key === undefined ? {} : { key: query.key }),
      ...(query.from === undefined ? {} : { fromMs: Date.parse(query.from) }),
      ...(query.to === undefined ? {} : { toMs: Date.parse(query.to) }),
    });
    return {
      rows: rows.map(({ hourMs, key, model, upstream, requests, failed, promptTokens, cachedTokens, completionTokens }) => ({
        hour: new Date(hourMs).toISOString(),
        key,
        model,
        upstream,
        requests,
        failed,
        prompt_tokens: promptTokens,
        cached_tokens: cachedTokens,
        completion_tokens: completionTokens,
      })),
    };
  };

export const capturesHandler =
  ({ telemetry }: Services): Handler<typeof endpoints.captures> =>
  async () => ({
    enabled: telemetry.captures !== null,
    captures: ((await telemetry.captures?.list()) ?? []).map(({ id, atMs, sizeBytes }) => ({ id, at: new Date(atMs).toISOString(), size_bytes: sizeBytes })),
  });

export const captureHandler =
  ({ telemetry }: Services): Handler<typeof endpoints.capture> =>
  async ({ params }) => {
    const found = await telemetry.captures?.read(params.id);
    if (!found) throw new HearthError('capture_not_found', `There is no captured request ${params.id}.`, { details: { param: 'id' } });
    const { id, atMs, method, path, status, requestHeaders, requestBody, responseHeaders, responseBody } = found;
    return {
      id,
      at: new Date(atMs).toISOString(),
      method,
      path,
      status,
      request_headers: { ...requestHeaders },
      request_body: requestBody,
      response_headers: { ...responseHeaders },
      response_body: responseBody,
    };
  };
