import type { endpoints, PullData } from '../../contract/index.ts';
import type { Frame } from '../../gateway/index.ts';
import { streamedFrames } from '../answer-response.ts';
import type { Handler } from '../bind.ts';
import type { Services } from '../services.ts';
import { OPENAI_EVENTS } from '../sse-dialect.ts';

export const storeListHandler =
  ({ store }: Services): Handler<typeof endpoints.storeList> =>
  async ({ query }, { signal }) =>
    await store.list({ ...(query.pattern === undefined ? {} : { pattern: query.pattern }), signal });

export const storeShowHandler =
  ({ store }: Services): Handler<typeof endpoints.storeShow> =>
  async ({ params, query }, { signal }) =>
    await store.show({ reference: params.ref, files: query.files === 'true', config: query.config === 'true', signal });

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

type PullEvent = { readonly kind: 'progress' | 'notice'; readonly [field: string]: unknown } | { readonly kind: 'result'; readonly data: PullData };

/** POST store/pull: progress as events, at most one waiting, the result as the last one. */
export const storePullHandler =
  (services: Services): Handler<typeof endpoints.storePull> =>
  async ({ body }, context) => {
    const gone = new AbortController();
    const { model, revision, ...options } = body;
    const reference = revision === undefined ? model : `${model}@${revision}`;
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<typeof options>;

    async function* frames(): AsyncGenerator<Frame<PullEvent>, void> {
      const waiting = new Map<string, PullEvent>();
      let wake = Promise.withResolvers<void>();
      const tell = (key: string, event: PullEvent) => {
        waiting.set(key, event);
        wake.resolve();
      };
      let notices = 0;
      const signal = AbortSignal.any([context.signal, gone.signal]);
      const pulling = services.store.pull({
        ...(given as Record<never, never>),
        reference,
        signal,
        onProgress: (progress) => tell('progress', { kind: 'progress', ...progress }),
        onNotice: (message) => tell(`notice ${++notices}`, { kind: 'notice', message }),
      });
      let done = false;
      const ended = () => {
        done = true;
        wake.resolve();
      };
      pulling.then(ended, ended);
      while (!done || waiting.size > 0) {
        await wake.promise;
        wake = Promise.withResolvers();
        const events = [...waiting.values()];
        waiting.clear();
        for (const data of events) yield { kind: 'data', data };
        if (done) wake.resolve();
      }
      yield { kind: 'data', data: { kind: 'result', data: await pulling } };
    }
    return await streamedFrames(services, context, { frames: frames(), gone, dialect: OPENAI_EVENTS });
  };
