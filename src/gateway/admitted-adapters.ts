import { join } from 'node:path';
import type { AdapterSet } from '../engines/index.ts';
import type { Admission, ModelTrust } from '../security/index.ts';

/**
 * Adapters change what a model says as weights do: their files pass the same door before the engine reads them, and are what they were once it has
 * (docs/spec/security.md §6). Without trust, or without a directory of adapters: as they are.
 */
export function withAdmission(adapters: AdapterSet, trust: ModelTrust | undefined, directory: string | undefined): AdapterSet {
  if (trust === undefined || directory === undefined) return adapters;
  return {
    async load(name, own) {
      const admission = await admitThere(trust, name, join(directory, own));
      try {
        const report = await adapters.load(name, own);
        await admission?.recheck().catch(async (error: unknown) => {
          await adapters.unload(name).catch(() => {});
          throw error;
        });
        return report;
      } finally {
        admission?.release();
      }
    },
    unload: (name) => adapters.unload(name),
    list: () => adapters.list(),
  };
}

/** null where there is no such directory: the engine has the words for it. */
const admitThere = (trust: ModelTrust, id: string, directory: string): Promise<Admission | null> =>
  trust.admit({ id, directory }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw error;
  });
