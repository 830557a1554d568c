import { API_VERSION, type endpoints } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Handler } from '../bind.ts';
import type { Services } from '../services.ts';
import { openAlerts } from './alerts.ts';
import { noRequest } from './observe.ts';

export const versionHandler =
  ({ version }: Services): Handler<typeof endpoints.version> =>
  async () => ({ name: 'hearth', version, api_version: API_VERSION });

export const statusHandler =
  ({ gateway, daemon, version, listeners, weakened, alerts, startedAtMs }: Services): Handler<typeof endpoints.status> =>
  async () => ({
    version,
    api_version: API_VERSION,
    pid: process.pid,
    started_at: new Date(startedAtMs).toISOString(),
    draining: gateway.draining,
    listeners: [...listeners()],
    weakened: [...weakened()],
    alerts: openAlerts({ alerts }),
    daemon: daemon.state(),
    models: [...gateway.snapshot().models],
  });

export const residentModelsHandler =
  ({ gateway }: Services): Handler<typeof endpoints.residentModels> =>
  async () => {
    const { seq, models } = gateway.snapshot();
    return { seq, models: [...models] };
  };

/** POST models/load: answers when the model is ready; a path only from the socket or the own process. */
export const loadModelHandler =
  ({ gateway }: Services): Handler<typeof endpoints.loadModel> =>
  async ({ body }, { caller, signal }) => {
    if (body.path !== undefined && caller.kind !== 'trusted') {
      throw new HearthError('permission_denied', 'A path is taken over the Unix socket only.', { details: { param: 'path' } });
    }
    const base = body.path === undefined ? await gateway.resolve(body.model!, signal) : await gateway.resolvePath(body.path, signal);
    if (body.adapter !== undefined && base.adapter !== undefined && base.adapter !== body.adapter)
      throw new HearthError('adapter_conflict', `The name of the model asks for the adapter ${base.adapter}, and the field adapter for ${body.adapter}.`, {
        details: { param: 'adapter' },
      });
    const model = body.adapter === undefined ? base : { ...base, adapter: body.adapter };
    const { contextTokens, engine, parallelSequences, ttlSeconds, pinned } = body;
    const plan = {
      ...(engine === undefined ? {} : { engine }),
      ...(contextTokens === undefined ? {} : { contextTokens }),
      ...(parallelSequences === undefined ? {} : { parallelSequences }),
      ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
      ...(pinned === undefined ? {} : { pinned }),
    };
    return await gateway.load(model, plan, signal);
  };

export const unloadModelHandler =
  ({ gateway }: Services): Handler<typeof endpoints.unloadModel> =>
  async ({ body }, { signal }) => {
    const model = await gateway.resolve(body.model, signal);
    const id = model.adapter === undefined ? model.id : `${model.id}+${model.adapter}`;
    return { id, unloaded: await gateway.unload(model, body.force ?? false) };
  };

/** DELETE /v1/requests/{id}: the caller's own one; callers without a key are one. `admin` may cancel any. */
export const cancelRequestHandler =
  (_services: Services): Handler<typeof endpoints.cancelRequest> =>
  async ({ params: { id } }, { gateway }) => {
    if (!gateway.cancel(id)) throw noRequest(id);
    return { id, cancelled: true };
  };
