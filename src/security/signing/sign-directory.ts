import { HearthError } from '../../core/index.ts';
import type { HashOptions } from './hash-pool.ts';
import type { ModelSigner } from './signer.ts';
import type { HashedFile } from './types.ts';

export interface SignDirectoryOptions extends HashOptions {
  readonly directory: string;
  readonly signer: ModelSigner;
  /** Name of the model in the signature; the basename of the resolved directory unless said. */
  readonly name?: string;
  /** Relative POSIX paths that are left out, beside the built-in ones; none may be loadable. */
  readonly ignorePaths?: readonly string[];
  /** Blob directories of a cache's own repository (see walkModel). */
  readonly blobs?: readonly string[];
  /** Where the signature goes; `model.sig` in the directory unless said. */
  readonly output?: string;
}

export interface SignedModel {
  readonly signaturePath: string;
  readonly rootDigest: string;
  /** Hex SHA-256 of the signer's SPKI PEM text. */
  readonly hint: string;
  readonly files: readonly HashedFile[];
}

/** Hashes the model and writes its signature, atomically. Throws model_refused for a directory that must not be signed. */
export async function signDirectory(_options: SignDirectoryOptions): Promise<SignedModel> {
  throw new HearthError('not_implemented', 'Signing a model is not part of this version yet.');
}
