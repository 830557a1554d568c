import { HearthError } from '../../core/index.ts';
import type { HashedFile, ModelFile } from './types.ts';

export interface HashFilesOptions {
  readonly signal?: AbortSignal;
  /** Threads that hash at once; as many as the processor has, at most 8, unless said. */
  readonly threads?: number;
  /** Called with the bytes that were hashed since the last call. */
  readonly onProgress?: (bytes: number) => void;
}

/**
 * SHA-256 of each file, read by descriptor in worker threads; in the order given. A file that is no longer the one that was walked
 * is refused (checksum_mismatch naming it).
 */
export async function hashFiles(_files: readonly ModelFile[], _options: HashFilesOptions = {}): Promise<HashedFile[]> {
  throw new HearthError('not_implemented', 'Hashing a model is not part of this version yet.');
}
