import { basename, dirname } from 'node:path';
import { isHearthError } from '../../core/index.ts';
import { openGguf, openSafetensors } from '../../formats/index.ts';
import { hashAll } from '../../security/index.ts';
import type { ModelFile, ModelView } from '../model-view.ts';
import { type HealthVerdict, unhealthy } from './check-health.ts';
import { weightFilesOf } from './weight-files.ts';

/** Digests by path, as the hub lists them for the revision; a file of the hub that is missing here is a finding too. */
export type ListedDigests = ReadonlyMap<string, { readonly digest: string; readonly sizeBytes: number }>;

/**
 * Reads every byte: each file against the digest that its blob's name is (or that the hub lists), then every weight header strictly.
 * No network. null: nothing was found.
 */
export async function deepCheck(view: ModelView, listed: ListedDigests | null, signal?: AbortSignal): Promise<HealthVerdict | null> {
  const checked = view.files.flatMap((file) => {
    const expected = listed === null ? blobDigest(file) : (listed.get(file.path) ?? null);
    return expected === null ? [] : [{ file, ...expected }];
  });
  const resized = checked.find(({ file, sizeBytes }) => file.sizeBytes !== sizeBytes);
  if (resized !== undefined) return unhealthy(`Checksum mismatch: ${resized.file.path}`);
  const results = await hashAll(
    checked.map(({ file, digest, sizeBytes }) => ({
      source: file.realPath,
      identity: null,
      sizeBytes,
      algorithm: digest.length === 64 ? ('sha256' as const) : ('git-sha1' as const),
    })),
    signal === undefined ? {} : { signal },
  );
  const broken = checked.find(({ digest }, index) => {
    const result = results[index]!;
    return result.kind !== 'hashed' || result.digest !== digest;
  });
  if (broken !== undefined) return unhealthy(`Checksum mismatch: ${broken.file.path}`);
  for (const file of weightFilesOf(view)) {
    const problem = await headerProblem(file);
    if (problem !== null) return unhealthy(problem);
  }
  return null;
}

/** The digest that a file of the cache is named by; null for a file that is no blob. */
function blobDigest(file: ModelFile): { readonly digest: string; readonly sizeBytes: number } | null {
  const name = basename(file.realPath);
  const isBlob = basename(dirname(file.realPath)) === 'blobs' && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(name);
  return isBlob ? { digest: name, sizeBytes: file.sizeBytes } : null;
}

async function headerProblem(file: ModelFile): Promise<string | null> {
  try {
    if (file.path.endsWith('.safetensors')) await (await openSafetensors(file.realPath)).close();
    else if (file.path.endsWith('.gguf')) await (await openGguf(file.realPath)).close();
    return null;
  } catch (error) {
    if (!isHearthError(error)) throw error;
    return `Invalid header: ${file.path} (${error.code})`;
  }
}
