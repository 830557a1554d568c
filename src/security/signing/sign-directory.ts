import { lstat, realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { HearthError, writeFileAtomic } from '../../core/index.ts';
import { ignoredProblems, sortFiles } from './compare-files.ts';
import { BUNDLE_TYPE, IGNORED_ALWAYS, PAYLOAD_TYPE, SIGNATURE_FILE, signedBytes, WORKSPACE_MARKS } from './formats.ts';
import { hashFiles, rootDigestOf } from './hash-files.ts';
import type { HashOptions } from './hash-pool.ts';
import { isLoadableName, refusedContent } from './loadable.ts';
import { foldedName } from './path-order.ts';
import { problem } from './problems.ts';
import { isSoundIgnorePath, isSoundPath } from './resource-name.ts';
import type { ModelSigner } from './signer.ts';
import { writeStatement } from './statement.ts';
import type { HashedFile, ModelFile, SignatureProblem } from './types.ts';
import { walkModel } from './walk-model.ts';

export interface SignDirectoryOptions extends HashOptions {
  /** A directory, or the one file that the model is. */
  readonly directory: string;
  readonly signer: ModelSigner;
  /** Name of the model in the signature; the basename of the resolved directory unless said. */
  readonly name?: string;
  /** Relative POSIX paths that are left out, beside the built-in ones; none may be loadable. */
  readonly ignorePaths?: readonly string[];
  /** Blob directories of a cache's own repository (see walkModel). */
  readonly blobs?: readonly string[];
  /** Where the signature goes: `model.sig` in the directory, or the file's name with `.sig` behind it, unless said. */
  readonly output?: string;
}

export interface SignedModel {
  readonly signaturePath: string;
  readonly rootDigest: string;
  /** Hex SHA-256 of the signer's SPKI PEM text. */
  readonly hint: string;
  readonly files: readonly HashedFile[];
}

/** Hashes the model and writes its signature, atomically. Throws model_refused, all reasons at once, for a directory that must not be signed. */
export async function signDirectory(options: SignDirectoryOptions): Promise<SignedModel> {
  const { signer } = options;
  const root = await realpath(options.directory);
  const isFile = (await lstat(root)).isFile();
  const signaturePath = options.output ?? (isFile ? `${root}.sig` : join(root, SIGNATURE_FILE));
  const inside = isFile ? null : await pathInside(root, signaturePath);
  const ignored = [...new Set([...(inside === null ? [] : [inside]), SIGNATURE_FILE, ...(options.ignorePaths ?? []), ...IGNORED_ALWAYS, ...WORKSPACE_MARKS])];
  const walk = await walkModel({ ...options, directory: root });
  const sorted = sortFiles(walk, null, ignored);
  const problems = [
    ...ignorePathProblems(options.ignorePaths ?? []),
    ...walk.problems,
    ...ignoredProblems(sorted, inside ?? ''),
    ...contentProblems(sorted.extra),
  ];
  if (sorted.extra.length === 0) problems.push(problem('sig_manifest_empty', 'There is no file to sign.'));
  if (problems.length > 0) throw refusal(root, problems);
  const files = await hashFiles(sorted.extra, options);
  const rootDigest = rootDigestOf(files);
  const payload = writeStatement({ name: options.name ?? basename(root), files, rootDigest, ignorePaths: isFile ? [] : ignored });
  const bundle = {
    mediaType: BUNDLE_TYPE,
    verificationMaterial: { ...materialOf(signer), tlogEntries: [] },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig: Buffer.from(await signer.sign(signedBytes(payload))).toString('base64'), keyid: '' }],
    },
  };
  // Public by nature: whoever may read the model may read its signature.
  await writeFileAtomic(signaturePath, `${JSON.stringify(bundle)}\n`, 0o644);
  return { signaturePath, rootDigest, hint: signer.material.hint, files };
}

function materialOf({ material }: ModelSigner): Record<string, unknown> {
  if (material.kind === 'key') return { publicKey: { hint: material.hint } };
  return { x509CertificateChain: { certificates: material.certificates.map((bytes) => ({ rawBytes: Buffer.from(bytes).toString('base64') })) } };
}

function ignorePathProblems(paths: readonly string[]): SignatureProblem[] {
  return paths
    .filter((path) => !isSoundIgnorePath(path) || isLoadableName(path))
    .map((path) =>
      problem('sig_ignore_path', `${path === '' ? '""' : path} cannot be left out: it is no path inside the model, or one that engines read.`, { file: path }),
    );
}

/** What a verifier would refuse must not be signed: names, and files of refused kinds. */
function contentProblems(files: readonly ModelFile[]): SignatureProblem[] {
  const problems: SignatureProblem[] = [];
  const spelled = new Map<string, string>();
  for (const { path, source } of files) {
    const earlier = spelled.get(foldedName(path));
    if (earlier !== undefined) problems.push(problem('sig_resource_duplicate', `${earlier} and ${path} are one name on other disks.`, { file: path }));
    spelled.set(foldedName(path), path);
    if (path !== '.' && !isSoundPath(path)) problems.push(problem('sig_resource_name', `${path} is no sound name of a file of a model.`, { file: path }));
    const refused = refusedContent(path, source);
    if (refused !== null) problems.push(problem('intake_format_refused', `${path} is ${refused}, which no model may hold.`, { file: path }));
  }
  return problems;
}

function refusal(root: string, problems: readonly SignatureProblem[]): HearthError {
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new HearthError('model_refused', `${basename(root)} cannot be signed: ${problems[0]!.message}${more}`, {
    details: { reason: problems[0]!.code, problems: problems.slice(0, 100) },
  });
}

/** The signature's own path below the root; null where it lies elsewhere. */
async function pathInside(root: string, path: string): Promise<string | null> {
  const directory = await realpath(dirname(path));
  const inside = relative(root, join(directory, basename(path)));
  return inside.startsWith(`..${sep}`) || inside === '..' ? null : inside.split(sep).join('/');
}
