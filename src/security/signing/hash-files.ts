import { createHash } from 'node:crypto';
import { HearthError } from '../../core/index.ts';
import { type HashOptions, hashAll } from './hash-pool.ts';
import { comparePaths } from './path-order.ts';
import type { HashedFile, ModelFile } from './types.ts';

/**
 * SHA-256 of each file, read by descriptor in worker threads; in the order given. A file that is no longer the one that was walked,
 * or that cannot be read, is refused: model_refused with `details.reason` file_changed or file_unreadable.
 */
export async function hashFiles(files: readonly ModelFile[], options: HashOptions = {}): Promise<HashedFile[]> {
  const results = await hashAll(
    files.map(({ source, identity }) => ({ source, identity, sizeBytes: identity.size, algorithm: 'sha256' })),
    options,
  );
  return files.map((file, index) => {
    const result = results[index]!;
    if (result.kind === 'hashed') return { ...file, sha256: result.digest };
    const details = { reason: result.kind === 'changed' ? 'file_changed' : 'file_unreadable', file: file.path };
    throw new HearthError('model_refused', `${file.path} ${result.kind === 'changed' ? 'changed while it was read' : 'could not be read'}.`, { details });
  });
}

/** SHA-256 over the raw digests in the order of the paths' components: what a signature by hearth calls the model. Lower-case hex. */
export function rootDigestOf(files: readonly Pick<HashedFile, 'path' | 'sha256'>[]): string {
  const hash = createHash('sha256');
  for (const { sha256 } of files.toSorted((a, b) => comparePaths(a.path, b.path))) hash.update(Buffer.from(sha256, 'hex'));
  return hash.digest('hex');
}
