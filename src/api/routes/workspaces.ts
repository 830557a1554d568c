import type { endpoints } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Caller } from '../../security/index.ts';
import type { Handler } from '../bind.ts';
import { streamedProgress, withoutAbsent } from '../progress-events.ts';
import type { Services } from '../services.ts';

/** Over TCP only names in the workspace home are taken: a path comes from the command line (docs/spec/store.md §3). */
function requireNames({ kind }: Caller, texts: Readonly<Record<string, string | undefined>>): void {
  if (kind === 'trusted') return;
  for (const [param, text] of Object.entries(texts)) {
    if (text !== undefined && (param === 'workingDirectory' || /[/\\]|^[.~]/.test(text)))
      throw new HearthError('permission_denied', 'A path is taken over the Unix socket only; name a workspace of the workspace home.', { details: { param } });
  }
}

export const storeCloneHandler =
  (services: Services): Handler<typeof endpoints.storeClone> =>
  async ({ body }, context) => {
    const { model: reference, ...given } = body;
    requireNames(context.caller, { target: given.target, workingDirectory: given.workingDirectory });
    return await streamedProgress(services, context, (teller, signal) => services.store.clone({ reference, ...withoutAbsent(given), ...teller, signal }));
  };

export const storeConvertHandler =
  (services: Services): Handler<typeof endpoints.storeConvert> =>
  async ({ body }, context) => {
    requireNames(context.caller, { source: body.source, target: body.target, workingDirectory: body.workingDirectory });
    return await streamedProgress(services, context, (teller, signal) => services.store.convert({ ...withoutAbsent(body), ...teller, signal }));
  };
