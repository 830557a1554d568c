import { createHash } from 'node:crypto';
import { HearthError } from '../../core/index.ts';
import { createSecretScanner, findingByContent, type PushFinding } from '../../security/index.ts';
import type { Folder, FolderFile } from './folder-files.ts';
import { readListed } from './open-file.ts';

/** A file with what the hub knows it by. */
export interface HashedFile extends FolderFile {
  readonly sha256: string;
  /** Git's blob SHA-1; null for large files, which are never kept as git blobs. */
  readonly gitSha1: string | null;
}

/** Above this the hub keeps nothing in git itself. */
const MAX_GIT_BYTES = 64 * 1024 * 1024;
/** Text is searched for secrets as a whole, other content only where headers are. */
const BINARY_SCAN_BYTES = 8 * 1024 * 1024;
const TEXT_HEAD_BYTES = 8192;

export interface LintOptions {
  /** Values that must not occur in any file. */
  readonly secrets: readonly string[];
  readonly onBytes?: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/** Reads every file once: digests, and what its content speaks against sending it. */
export async function lintFiles(
  files: readonly FolderFile[],
  options: LintOptions,
): Promise<{ readonly files: readonly HashedFile[]; readonly findings: readonly PushFinding[] }> {
  const hashed: HashedFile[] = [];
  const findings: PushFinding[] = [];
  for (const file of files) {
    const { finding, ...digests } = await lintFile(file, options);
    hashed.push({ ...file, ...digests });
    if (finding !== null) findings.push(finding);
  }
  return { files: hashed, findings };
}

async function lintFile(file: FolderFile, options: LintOptions): Promise<{ sha256: string; gitSha1: string | null; finding: PushFinding | null }> {
  const sha256 = createHash('sha256');
  const git = file.sizeBytes <= MAX_GIT_BYTES ? createHash('sha1').update(`blob ${file.sizeBytes}\0`) : null;
  const scanner = createSecretScanner(options.secrets);
  let finding: PushFinding | null = null;
  let scanBytes = Number.POSITIVE_INFINITY;
  let read = 0;
  for await (const piece of readListed(file, { pieceBytes: 1024 * 1024 })) {
    options.signal.throwIfAborted();
    if (read === 0) {
      finding = findingByContent(file.path, piece.subarray(0, 512));
      if (piece.subarray(0, TEXT_HEAD_BYTES).includes(0)) scanBytes = BINARY_SCAN_BYTES;
    }
    if (read < scanBytes) scanner.update(piece);
    sha256.update(piece);
    git?.update(piece);
    read += piece.length;
    options.onBytes?.(piece.length);
  }
  const secret = scanner.found();
  if (finding === null && secret !== null) finding = { path: file.path, code: 'secret_content', message: `it holds ${secret}` };
  return { sha256: sha256.digest('hex'), gitSha1: git?.digest('hex') ?? null, finding };
}

/** Errors: push_refused, naming every finding. */
export function refuseFindings(folder: Pick<Folder, 'findings'>): void {
  const { findings } = folder;
  if (findings.length === 0) return;
  const shown = findings.slice(0, 5).map(({ path, message }) => `${path}: ${message}`);
  const more = findings.length > shown.length ? `; and ${findings.length - shown.length} more` : '';
  throw new HearthError('push_refused', `Nothing was sent. ${shown.join('; ')}${more}.`, { details: { findings: [...findings] } });
}
