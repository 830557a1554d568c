import { HearthError } from '../../core/index.ts';
import type { HashOptions } from './hash-pool.ts';
import type { HashedFile, TrustedSigner, VerifyReport } from './types.ts';

/** One of both is set. */
export interface RevokedEntry {
  readonly hint?: string;
  readonly rootDigest?: string;
}

export interface VerifyDirectoryOptions extends HashOptions {
  readonly directory: string;
  /** Blob directories of a cache's own repository (see walkModel). */
  readonly blobs?: readonly string[];
  /** Bytes of the signature; absent: `model.sig` of the directory, and `sig_missing` without one. */
  readonly signature?: Uint8Array;
  /** Name in the directory's root that the signature has, when not `model.sig`: it is not hashed. */
  readonly signatureName?: string;
  readonly trusted: readonly TrustedSigner[];
  readonly revoked?: readonly RevokedEntry[];
  /** The id that the caller knows the model by; null: a path, for which any trusted signer's globs count as fitting. */
  readonly modelId: string | null;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** When this content was first accepted: the time at which certificates have to be valid; `now` unless said. */
  readonly firstAcceptedAt?: number;
  /** Hashes that the caller knows to be those of the files as they are; others are computed. */
  readonly known?: readonly HashedFile[];
  /** JSON text of a Sigstore trusted root for keyless bundles; the carried one unless said. */
  readonly trustedRoot?: string;
}

/**
 * Checks a directory against its signature (docs/spec/security.md §1.2). What is wrong with the model is data, all problems at once;
 * it throws only for an abort, or a directory that cannot be read at all.
 */
export async function verifyDirectory(_options: VerifyDirectoryOptions): Promise<VerifyReport> {
  throw new HearthError('not_implemented', 'Verifying a model is not part of this version yet.');
}
