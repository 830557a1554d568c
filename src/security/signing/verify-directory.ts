import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError } from '../../core/index.ts';
import { checkSigner, type SignerAnswer } from './check-signer.ts';
import { compareListed, emptyDirectoryWarnings, extraProblems, hashedFiles, ignoredProblems, sortFiles } from './compare-files.ts';
import { sameIdentity } from './file-identity.ts';
import { IGNORED_ALWAYS, MAX_BUNDLE_BYTES, SIGNATURE_FILE, WORKSPACE_MARKS } from './formats.ts';
import { type HashOptions, hashAll } from './hash-pool.ts';
import type { HashResult, HashWork } from './hash-work.ts';
import { problem } from './problems.ts';
import { readSignature } from './read-signature.ts';
import { type Manifest, readStatement } from './statement.ts';
import type { HashedFile, ModelFile, RevokedEntry, SignatureProblem, TrustedSigner, VerifyReport } from './types.ts';
import { type ModelWalk, walkModel } from './walk-model.ts';

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
  /** Hashes of files that the caller keeps; those whose file is still the same one are not read again. */
  readonly known?: readonly HashedFile[];
  /** JSON text of a Sigstore trusted root for keyless bundles; the carried one unless said. */
  readonly trustedRoot?: string;
}

/**
 * Checks a directory against its signature (docs/spec/security.md §1.2). What is wrong with the model is data, all problems at once;
 * it throws only for an abort, or a directory that is not there.
 */
export async function verifyDirectory(options: VerifyDirectoryOptions): Promise<VerifyReport> {
  const walk = await walkModel(options);
  const problems: SignatureProblem[] = [];
  const { manifest, answer, warnings } = await readAndCheck(options, walk, problems);
  const signatureName = options.signatureName ?? SIGNATURE_FILE;
  const sorted = sortFiles(walk, manifest, [...IGNORED_ALWAYS, ...WORKSPACE_MARKS, signatureName, ...(manifest?.ignorePaths ?? [])]);
  // Files outside the signature are refused by their names; without one all are hashed, for a caller that pins content.
  const toHash = manifest === null ? sorted.extra : sorted.listed;
  const results = await hashListed(toHash, manifest, options);
  problems.push(...walk.problems);
  if (manifest !== null) problems.push(...compareListed(manifest, sorted, results), ...extraProblems(sorted, manifest));
  problems.push(...ignoredProblems(sorted, signatureName));
  return {
    ok: problems.length === 0,
    rootDigest: manifest?.rootDigest ?? null,
    signer: answer?.signer ?? null,
    files: hashedFiles(toHash, results),
    problems,
    warnings: [...warnings, ...(answer?.warnings ?? []), ...emptyDirectoryWarnings(walk)],
  };
}

interface SignatureAnswer {
  readonly manifest: Manifest | null;
  readonly answer: SignerAnswer | null;
  readonly warnings: readonly SignatureProblem[];
}

async function readAndCheck(options: VerifyDirectoryOptions, walk: ModelWalk, problems: SignatureProblem[]): Promise<SignatureAnswer> {
  const bytes = options.signature ?? (await readOwnSignature(options, walk));
  if (bytes === null) {
    problems.push(problem('sig_missing', 'The model has no signature.'));
    return { manifest: null, answer: null, warnings: [] };
  }
  const read = readSignature(bytes);
  problems.push(...read.problems);
  if (read.signature === null) return { manifest: null, answer: null, warnings: [] };
  const statement = readStatement(read.signature.payload);
  const answer = await checkSigner(read.signature, {
    trusted: options.trusted,
    revoked: options.revoked ?? [],
    modelId: options.modelId,
    rootDigest: statement.manifest?.rootDigest ?? null,
    now: options.now,
    firstAcceptedAt: options.firstAcceptedAt ?? options.now,
    trustedRoot: options.trustedRoot ?? null,
  });
  problems.push(...answer.problems, ...statement.problems);
  return { manifest: statement.manifest, answer, warnings: statement.warnings };
}

/** The signature that lies in the directory; null without one. A link is followed as any file of the model is. */
async function readOwnSignature({ directory, signatureName = SIGNATURE_FILE }: VerifyDirectoryOptions, walk: ModelWalk): Promise<Uint8Array | null> {
  const found = walk.files.find(({ path }) => path === signatureName);
  if (found === undefined) return null;
  return await readSignatureFile(found.source, join(directory, signatureName));
}

/** The bytes of a signature file; one that is far too large is cut, and then refused for it. Throws model_refused where it cannot be read. */
export async function readSignatureFile(path: string, shown: string = path): Promise<Uint8Array> {
  try {
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const facts = await handle.stat();
    if (!facts.isFile()) throw new Error('it is no regular file');
    const bytes = Buffer.alloc(Math.min(facts.size, MAX_BUNDLE_BYTES + 1));
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  } catch (error) {
    const isThere = (await stat(path).catch(() => null)) !== null;
    throw new HearthError(isThere ? 'permission_denied' : 'file_system_error', `The signature ${shown} cannot be read.`, { cause: error });
  }
}

async function hashListed(files: readonly ModelFile[], manifest: Manifest | null, options: VerifyDirectoryOptions): Promise<HashResult[]> {
  const plain = manifest === null || (manifest.shardBytes === null && manifest.hashType === 'sha256');
  const pieces = plain
    ? {}
    : {
        pieces: {
          algorithm: manifest.hashType === 'sha256' ? ('sha256' as const) : ('blake2b512' as const),
          sizeBytes: manifest.shardBytes ?? Number.POSITIVE_INFINITY,
        },
      };
  const known = new Map((plain ? (options.known ?? []) : []).map((file) => [file.path, file]));
  const results = new Array<HashResult>(files.length);
  const work: HashWork[] = [];
  const places: number[] = [];
  for (const [index, { path, source, identity }] of files.entries()) {
    const kept = known.get(path);
    if (kept !== undefined && kept.source === source && sameIdentity(kept.identity, identity))
      results[index] = { kind: 'hashed', digest: kept.sha256, pieces: [] };
    else {
      work.push({ source, identity, sizeBytes: identity.size, algorithm: 'sha256', ...pieces });
      places.push(index);
    }
  }
  for (const [index, result] of (await hashAll(work, options)).entries()) results[places[index]!] = result;
  return results;
}
