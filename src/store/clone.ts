import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { CloneData } from '../contract/index.ts';
import { HearthError, isHearthError } from '../core/index.ts';
import { type CloneSource, cachedSource, downloadedSource } from './clone-source.ts';
import { toStoreError } from './file-errors.ts';
import { requireFreeSpace } from './hub/download-files.ts';
import { judge } from './judge.ts';
import { parseReference, shortName } from './names.ts';
import type { StoreOptions } from './options.ts';
import type { PackageSource } from './package-source/pull-package.ts';
import { passIntake } from './pass-intake.ts';
import { acquireStoreLock } from './store-lock.ts';
import { copyFiles } from './workspace/copy-files.ts';
import { pinWorkspace } from './workspace/pin-workspace.ts';
import { isInCache, requireFreeTarget, workspacePath } from './workspace/targets.ts';
import { holdsAnything, openWorkArea, removeWorkArea, workAreaPath } from './workspace/work-area.ts';

export interface CloneParameters {
  /** `NAME[:VARIANT][@REV]`; a name without `/` means what is cached under it, else `mlx-community/NAME`. */
  readonly reference: string;
  /** A name in the workspace home, or a path; absent: the model's own short name in the workspace home. */
  readonly target?: string;
  /** Base of relative paths; the store's own when absent. */
  readonly workingDirectory?: string;
  /** Another way to say `@REV`. */
  readonly branch?: string;
  /** Judge what was cloned; true. */
  readonly healthCheck?: boolean;
  /** Ask the hub although the cache has the model. */
  readonly fromHub?: boolean;
  /** Use a complete download of an earlier try although its files are not healthy. */
  readonly forceResume?: boolean;
  /** Names under which the cache may have the model besides its own. */
  readonly cacheNames?: readonly string[];
  /** Used only when the hub cannot be reached. */
  readonly secondSource?: PackageSource;
  readonly onProgress?: (progress: CloneProgress) => void;
  readonly onNotice?: (message: string) => void;
  readonly signal?: AbortSignal;
}

export interface CloneProgress {
  readonly step: 'download' | 'copy';
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** What is asked for, as far as names tell. */
export interface CloneRequest {
  readonly name: string;
  readonly variant: string | null;
  readonly revision: string | null;
  readonly parameters: CloneParameters;
  readonly signal: AbortSignal;
}

const STAGING = 'workspace';

/**
 * Copies a model into a new, editable workspace (docs/spec/store.md §9): from the cache when that has it whole, else from the hub through a
 * work area beside the target, which a later try resumes. The target appears when it is complete.
 * Errors: invalid_name, invalid_target, usage, clone_failed and those of `pull`. Details hold the JSON `data` known so far under `data`.
 */
export async function clone(given: StoreOptions, parameters: CloneParameters): Promise<CloneData> {
  const options = parameters.workingDirectory === undefined ? given : { ...given, workingDirectory: parameters.workingDirectory };
  const signal = parameters.signal ?? new AbortController().signal;
  const state: { -readonly [K in keyof CloneData]: CloneData[K] } = {
    model: parameters.reference,
    clone_status: 'preparing',
    message: '',
    target_dir: '',
    health_check: parameters.healthCheck ?? true,
    health: null,
    health_reason: null,
    commit_hash: null,
  };
  let workArea: string | null = null;
  try {
    const request = requestOf(parameters, signal);
    const target = await targetOf(options, request, parameters);
    state.target_dir = target;
    workArea = workAreaPath(specOf(request), target);
    const lockName = createHash('sha256').update(workArea).digest('hex').slice(0, 32);
    await using _ = await acquireStoreLock(join(options.stateDirectory, 'locks', `${lockName}.clone`), { sleep: options.sleep, signal });
    await fill(options, request, target, workArea, state);
    if (parameters.healthCheck !== false) {
      const { model } = await judge(options, { kind: 'workspace', name: target, directory: target, file: null, variant: null });
      state.health = model.health;
      state.health_reason = model.health === 'healthy' ? null : model.reason;
    }
    state.clone_status = 'success';
    return state;
  } catch (error) {
    throw await failure(error, { state, workArea, signal });
  }
}

function requestOf(parameters: CloneParameters, signal: AbortSignal): CloneRequest {
  const reference = parseReference(parameters.reference);
  if (reference.kind === 'path')
    throw new HearthError('invalid_name', `"${reference.text}" is a path; clone takes the name of a model. A workspace is copied by \`cp -R\`.`);
  if (reference.adapter !== null) throw new HearthError('invalid_name', `"${reference.text}" names an adapter; clone takes the name of a model.`);
  const { branch } = parameters;
  if (branch !== undefined && reference.revision !== null && reference.revision !== branch)
    throw new HearthError('usage', `--branch ${branch} and @${reference.revision} name two revisions; give one of them.`);
  return { name: reference.name, variant: reference.variant, revision: reference.revision ?? branch ?? null, parameters, signal };
}

const specOf = ({ name, variant, revision }: CloneRequest): string =>
  `${name}${variant === null ? '' : `:${variant}`}${revision === null ? '' : `@${revision}`}`;

async function targetOf(options: StoreOptions, { name }: CloneRequest, parameters: CloneParameters): Promise<string> {
  if (parameters.target === undefined && options.workspaceHome === null)
    throw new HearthError('workspace_home_missing', 'There is no target, and no workspace home in which one could be made.');
  const target = workspacePath(options, parameters.target ?? shortName(name));
  await requireFreeTarget(target, { emptyAllowed: parameters.target !== undefined });
  if (await isInCache(options, target)) throw new HearthError('invalid_target', `${target} lies in a model cache; workspaces belong elsewhere.`);
  return target;
}

async function fill(
  options: StoreOptions,
  request: CloneRequest,
  target: string,
  workArea: string,
  state: { -readonly [K in keyof CloneData]: CloneData[K] },
): Promise<void> {
  const cached = await cachedSource(options, request);
  const { found } = await openWorkArea(workArea);
  state.clone_status = found ? 'resuming' : 'pulling';
  const source = cached ?? (await downloadedSource(options, request, workArea));
  state.model = source.name;
  state.commit_hash = source.commit;
  state.clone_status = 'cloning';
  const staging = join(workArea, STAGING);
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { mode: 0o700 });
  try {
    await copySource(options, source, staging, request);
    await pinWorkspace(options, staging, { source_repo: source.name, source_revision: source.commit, operation: 'clone' }).catch((error: unknown) => {
      request.parameters.onNotice?.(`The workspace could not be marked as managed: ${error instanceof Error ? error.message : String(error)}`);
    });
    await moveInto(staging, target);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    if (cached !== null && !found) await removeWorkArea(workArea);
    throw error;
  }
  await removeWorkArea(workArea);
  state.message = `${source.name} is at ${target}${cached === null ? '' : ', copied from the cache'}.`;
}

async function copySource(options: StoreOptions, source: CloneSource, staging: string, { parameters, signal }: CloneRequest): Promise<void> {
  await copyFiles(source.files, staging, {
    move: source.temporary,
    requireSpace: (bytes) => requireFreeSpace(options, staging, bytes),
    onProgress: (doneBytes, totalBytes) => parameters.onProgress?.({ step: 'copy', doneBytes, totalBytes }),
    signal,
  });
  // What was pulled for this clone has passed already.
  if (source.temporary) return;
  // The copy is judged, not the cache, which other tools may write to meanwhile.
  const files = source.files.map(({ path, sizeBytes }) => ({ path, source: join(staging, path), sizeBytes }));
  await passIntake(options, { id: source.name, revision: source.commit, purpose: 'import', origin: 'cache', files, signal }, parameters.onNotice);
}

/** An empty target keeps its place: somebody may stand in it. The sentinel goes last. */
async function moveInto(staging: string, target: string): Promise<void> {
  const names = await readdir(target).catch(() => null);
  if (names === null) return await rename(staging, target);
  if (names.length > 0) throw new HearthError('invalid_target', `${target} is no longer empty; nothing was put into it.`);
  const own = (await readdir(staging)).sort((a, b) => Number(a.startsWith('.mlxk')) - Number(b.startsWith('.mlxk')));
  for (const name of own) await rename(join(staging, name), join(target, name));
  await rmdir(staging);
}

/** What is kept for the next try is named; what cannot be resumed goes. */
async function failure(
  error: unknown,
  { state, workArea, signal }: { readonly state: CloneData; readonly workArea: string | null; readonly signal: AbortSignal },
): Promise<HearthError> {
  const worthKeeping = workArea !== null && (await holdsAnything(workArea));
  if (workArea !== null && !worthKeeping) await removeWorkArea(workArea).catch(() => {});
  const kept = worthKeeping ? ` What was fetched is kept in ${basename(workArea)} beside the target; the same command goes on from there.` : '';
  if (signal.aborted)
    return new HearthError('cancelled', `The clone was stopped.${kept}`, {
      cause: error,
      details: { data: { ...state, clone_status: 'cancelled', message: 'The clone was stopped.' }, ...(worthKeeping ? { work_area: workArea } : {}) },
    });
  const known = toStoreError(error, 'clone_failed', state.target_dir === '' ? undefined : state.target_dir);
  const { data: _, ...details } = known.details;
  const pulling = state.clone_status === 'pulling' || state.clone_status === 'resuming';
  const status = isHearthError(error) ? (pulling ? 'pull_failed' : 'error') : 'filesystem_error';
  return new HearthError(known.code, `${known.message}${kept}`, {
    cause: known,
    details: { ...details, data: { ...state, clone_status: status, message: known.message } },
  });
}
