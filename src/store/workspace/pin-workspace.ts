import type { StoreOptions } from '../options.ts';
import { recalculateHash } from './clean-check.ts';
import { type Sentinel, writeSentinel } from './sentinel.ts';

/** The format of the sentinel, as the tools that share it number it. */
const FORMAT_VERSION = '2.0.7';

export interface Provenance {
  readonly source_repo: string | null;
  readonly source_revision: string | null;
  readonly operation: 'clone' | 'convert';
  readonly mode?: string;
  readonly quantization?: { readonly bits: number; readonly group_size: number };
  readonly convert_options?: { readonly mode: string; readonly repairs_applied: readonly string[]; readonly repairs_detected_unsafe: readonly string[] };
}

/** Marks a fresh workspace as managed, with its origin and the hash of what it holds now. Gives the hash; null: it cannot be hashed. */
export async function pinWorkspace(options: Pick<StoreOptions, 'clock' | 'hearthVersion'>, directory: string, provenance: Provenance): Promise<string | null> {
  const now = new Date(options.clock.now());
  const sentinel: Sentinel = {
    mlxk_version: FORMAT_VERSION,
    hearth_version: options.hearthVersion ?? null,
    created_at: now.toISOString().replace(/\.\d{3}Z$/, 'Z'),
    ...provenance,
    managed: true,
  };
  const pinned = await recalculateHash(directory, sentinel, now);
  if (pinned !== null) return String(pinned['content_hash']);
  await writeSentinel(directory, sentinel);
  return null;
}
