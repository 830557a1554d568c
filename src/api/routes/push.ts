import type { endpoints } from '../../contract/index.ts';
import { streamedFrames } from '../answer-response.ts';
import type { Handler } from '../bind.ts';
import { progressEvents } from '../progress-events.ts';
import type { Services } from '../services.ts';
import { OPENAI_EVENTS } from '../sse-dialect.ts';

/**
 * POST store/push. The command line's own process has its user's consent; for every other caller the target must be listed, and over TCP the
 * folder is the name of a workspace, never a path (docs/spec/security.md §12).
 */
export const storePushHandler =
  (services: Services): Handler<typeof endpoints.storePush> =>
  async ({ body }, context) => {
    const { private: _consent, ...given } = body;
    const { caller } = context;
    const gone = new AbortController();
    const signal = AbortSignal.any([context.signal, gone.signal]);
    const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as {
      [K in keyof typeof given]: Exclude<(typeof given)[K], undefined>;
    };
    const frames = progressEvents((teller) =>
      services.store.push({
        ...present,
        nameOnly: caller.kind !== 'trusted',
        listedTargetsOnly: caller.kind !== 'trusted' || caller.via !== 'in-process',
        ...teller,
        signal,
      }),
    );
    return await streamedFrames(services, context, { frames, gone, dialect: OPENAI_EVENTS });
  };
