import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isHearthError } from '../core/index.ts';
import type { IntakeFile, IntakeRequest } from '../security/index.ts';
import type { StoreOptions } from './options.ts';
import { unlinkSnapshot } from './snapshot-writer.ts';

/** Asks the gates before a model appears in the cache or as a workspace. Errors: model_refused. */
export async function passIntake(options: Pick<StoreOptions, 'intake'>, request: IntakeRequest, onNotice?: (message: string) => void): Promise<void> {
  const report = await options.intake?.admit(request);
  const problem = report?.templates.find(({ problem }) => problem !== null);
  if (problem !== undefined)
    onNotice?.(`The chat template in ${problem.file} cannot be used (${problem.problem}); conversations become plain blocks of text instead.`);
}

/** A file that the hub's cache keeps as a blob. */
export const blobFile = (directory: string, { path, sizeBytes, digest }: { path: string; sizeBytes: number; digest: string }, sha256?: string): IntakeFile => {
  const known = digest.length === 64 ? digest : sha256;
  return { path, source: join(directory, 'blobs', digest), sizeBytes, ...(known === undefined ? {} : { sha256: known }) };
};

/** What was fetched of a model that is refused goes again; blobs that were here before stay. */
export async function discardRefused(error: unknown, directory: string, commit: string, fetched: Iterable<string>): Promise<void> {
  if (!isHearthError(error) || error.code !== 'model_refused') return;
  for (const digest of fetched) await rm(join(directory, 'blobs', digest), { force: true });
  await unlinkSnapshot(directory, commit, []);
}
