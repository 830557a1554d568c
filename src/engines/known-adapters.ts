import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readAdapterConfig } from '../formats/index.ts';

export interface KnownAdapter {
  /** Its directory, by which requests name it. */
  readonly name: string;
  /** What its configuration says that it was trained on; null where it does not say. */
  readonly baseModel: string | null;
}

/** The low-rank adapters of a directory, by name. What has no configuration that can be read is none. */
export async function knownAdapters(directory: string): Promise<readonly KnownAdapter[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const found = entries
    .filter((entry) => entry.isDirectory())
    .map(async ({ name }): Promise<KnownAdapter[]> => {
      const config = await readAdapterConfig(join(directory, name)).catch(() => null);
      return config === null || config.kind === 'full' ? [] : [{ name, baseModel: config.baseModel }];
    });
  return (await Promise.all(found)).flat().sort((a, b) => (a.name < b.name ? -1 : 1));
}
