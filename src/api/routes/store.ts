import type { endpoints } from '../../contract/index.ts';
import type { Handler } from '../bind.ts';
import { streamedProgress, withoutAbsent } from '../progress-events.ts';
import type { Services } from '../services.ts';
import { knownVerdict } from './trust.ts';

export const storeListHandler =
  ({ store }: Services): Handler<typeof endpoints.storeList> =>
  async ({ query }, { signal }) =>
    await store.list({ ...(query.pattern === undefined ? {} : { pattern: query.pattern }), signal });

export const storeShowHandler =
  (services: Services): Handler<typeof endpoints.storeShow> =>
  async ({ params, query }, { signal }) => {
    const data = await services.store.show({ reference: params.ref, files: query.files === 'true', config: query.config === 'true', signal });
    return { ...data, trust: await knownVerdict(services, params.ref, signal) };
  };

export const storeHealthHandler =
  ({ store }: Services): Handler<typeof endpoints.storeHealth> =>
  async ({ params, query }, { signal }) =>
    await store.health({ reference: params.ref, deep: query.deep === 'true', online: query.online === 'true', signal });

export const storeRecalculateHandler =
  ({ store }: Services): Handler<typeof endpoints.storeRecalculate> =>
  async ({ params }, { signal }) =>
    await store.show({ reference: params.ref, recalcHash: true, signal });

export const storeRemoveHandler =
  ({ store, gateway }: Services): Handler<typeof endpoints.storeRemove> =>
  async ({ params, query }, { signal }) => {
    const isLoaded = (name: string, hash: string | null) =>
      gateway.snapshot().models.some((model) => model.pid !== null && model.id === name && (hash === null || model.hash === hash));
    return await store.rm({ reference: params.ref, force: query.force === 'true', prune: query.prune === 'true', isLoaded, signal });
  };

/** POST store/pull: progress as events, at most one waiting, the result as the last one. */
export const storePullHandler =
  (services: Services): Handler<typeof endpoints.storePull> =>
  async ({ body }, context) => {
    const { model, revision, ...options } = body;
    const reference = revision === undefined ? model : `${model}@${revision}`;
    return await streamedProgress(services, context, (teller, signal) => services.store.pull({ ...withoutAbsent(options), reference, ...teller, signal }));
  };
