import type { endpoints } from '../../contract/index.ts';
import type { Handler } from '../bind.ts';
import { streamedProgress, withoutAbsent } from '../progress-events.ts';
import type { Services } from '../services.ts';

/**
 * POST store/push. The command line's own process has its user's consent; for every other caller the target must be listed, and over TCP the
 * folder is the name of a workspace, never a path (docs/spec/security.md §12).
 */
export const storePushHandler =
  (services: Services): Handler<typeof endpoints.storePush> =>
  async ({ body }, context) => {
    const { private: _consent, ...given } = body;
    const { caller } = context;
    return await streamedProgress(services, context, (teller, signal) =>
      services.store.push({
        ...withoutAbsent(given),
        nameOnly: caller.kind !== 'trusted',
        listedTargetsOnly: caller.kind !== 'trusted' || caller.via !== 'in-process',
        ...teller,
        signal,
      }),
    );
  };
