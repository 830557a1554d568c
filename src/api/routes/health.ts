import type { endpoints } from '../../contract/index.ts';
import type { Handler } from '../bind.ts';
import type { Services } from '../services.ts';

/** GET /health: draining is 503, a failed model makes it degraded (docs/spec/serving.md §1.3). */
export const healthHandler =
  ({ gateway }: Services): Handler<typeof endpoints.health> =>
  async () => {
    if (gateway.draining) return Response.json({ status: 'draining' }, { status: 503 });
    const failed = gateway.snapshot().models.some(({ state }) => state === 'failed');
    return { status: failed ? 'degraded' : 'ok' };
  };

export const liveHandler: Handler<typeof endpoints.healthLive> = async () => ({ status: 'ok' });

/** GET /health/ready: 200 when a request can be answered now, or by loading one of the models. */
export const readyHandler =
  ({ gateway }: Services): Handler<typeof endpoints.healthReady> =>
  async (_, { signal }) => {
    if (gateway.draining) return Response.json({ status: 'draining' }, { status: 503 });
    const loaded = gateway.snapshot().models.some(({ state }) => state === 'ready' || state === 'busy');
    if (loaded || (await gateway.list(signal)).length > 0) return { status: 'ok' };
    return Response.json({ status: 'unavailable' }, { status: 503 });
  };
