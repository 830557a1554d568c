import { HearthError } from '../../core/index.ts';
import type { ModelFile, SignatureProblem } from './types.ts';

export interface WalkModelOptions {
  readonly directory: string;
  /** Blob directories of the model's own cache: a link of the snapshot may end in one of them, and nowhere else. */
  readonly blobs?: readonly string[];
  readonly signal?: AbortSignal;
}

export interface ModelWalk {
  /** Regular files in the order of their path's components. */
  readonly files: readonly ModelFile[];
  /** Links, special files, hard links and names that are no text. */
  readonly problems: readonly SignatureProblem[];
  /** Directories without an entry, below ignored paths too. */
  readonly emptyDirectories: readonly string[];
}

/** Every regular file below the directory, by lstat; nothing is opened. */
export async function walkModel(_options: WalkModelOptions): Promise<ModelWalk> {
  throw new HearthError('not_implemented', 'Walking a model is not part of this version yet.');
}
