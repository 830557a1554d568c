import type { PushData } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { toStoreError } from '../file-errors.ts';
import { openModelView } from '../model-view.ts';
import { validateHubName, validateRevision } from '../names.ts';
import type { StoreOptions } from '../options.ts';
import { type Folder, readFolder } from './folder-files.ts';
import { lintFiles, refuseFindings } from './lint.ts';
import { isEmpty, type PushPlan, planPush, summaryOf } from './plan.ts';
import { checkWorkspace } from './preflight.ts';
import { createPushHub } from './push-hub.ts';
import { type PushParameters, type PushRun, progressOf } from './push-run.ts';
import { checkTokenScope, readBranch, readRepository } from './remote-state.ts';
import { resolveDirectory } from './resolve-directory.ts';
import { sendPlan } from './send-plan.ts';

const DEFAULT_MESSAGE = 'hearth push';
const LISTED_FILES = 20;

/**
 * Sends a folder to a private repository as one commit (docs/spec/store.md §9, security.md §12).
 * Errors: invalid_name, workspace_not_found, ambiguous_workspace, push_refused, auth_error, offline, repo_not_found, repo_not_private,
 * branch_create_failed, upload_failed, push_conflict, rate_limit_exceeded, hub_unreachable. Details hold the JSON `data` known so far.
 */
export async function push(options: StoreOptions, parameters: PushParameters): Promise<PushData> {
  const { repository, branch = 'main' } = parameters;
  validateHubName(repository);
  if (!repository.includes('/')) throw new HearthError('invalid_name', `"${repository}" names no owner; push needs org/model.`);
  validateRevision(branch);
  const endpoint = options.hub.endpoint.replace(/\/+$/, '');
  const base: PushData = {
    repo_id: repository,
    branch,
    repo_url: `${endpoint}/${repository}`,
    commit_sha: null,
    commit_url: null,
    uploaded_files_count: null,
    local_files_count: null,
    no_changes: null,
    created_repo: false,
    message: '',
    change_summary: null,
    experimental: false,
  };
  checkTarget(options, parameters);
  const signal = parameters.signal ?? new AbortController().signal;
  let known: Partial<PushData> = {};
  try {
    const folder = await readFolder(options, await resolveDirectory(options, parameters.directory, parameters.nameOnly));
    const view = await openModelView({ directory: folder.directory, root: folder.directory, only: folder.files.map(({ path }) => path) });
    known = { local_files_count: folder.files.length, workspace_health: await checkWorkspace(view) };
    if (parameters.checkOnly === true) return { ...base, ...known, ...(await checkOnly(folder, parameters, signal)) };
    refuseFindings(folder);
    return { ...base, ...known, ...(await compareAndSend(options, parameters, folder, signal)) };
  } catch (error) {
    if (signal.aborted)
      throw new HearthError('cancelled', 'The push was stopped; nothing was committed. The same command sends what is missing.', { cause: error });
    const told = toStoreError(error, 'push_operation_failed', parameters.directory);
    throw new HearthError(told.code, told.message, { cause: told, details: { ...told.details, data: { ...base, ...known, message: told.message } } });
  }
}

/** Nothing but the folder: what a push would refuse is told beside the anomalies. */
async function checkOnly(folder: Folder, parameters: PushParameters, signal: AbortSignal): Promise<Partial<PushData>> {
  const { findings } = await lintFiles(folder.files, { secrets: [], onBytes: progressOf(parameters, 'check', totalBytes(folder)), signal });
  const refused = [...folder.findings, ...findings].sort((a, b) => (a.path < b.path ? -1 : 1));
  const problems = refused.length === 0 ? 'nothing that a push would refuse' : `${refused.length} that a push would refuse`;
  return { refused, message: `Checked ${folder.files.length} files: ${problems}. Nothing was sent.` };
}

async function compareAndSend(options: StoreOptions, parameters: PushParameters, folder: Folder, signal: AbortSignal): Promise<Partial<PushData>> {
  const { repository, branch = 'main' } = parameters;
  const token = options.hub.pushToken ?? null;
  if (token === null) throw new HearthError('auth_error', 'HF_TOKEN is not set. Push takes the token from this variable only.');
  const notice = parameters.onNotice ?? (() => {});
  const hub = createPushHub({ hub: options.hub, token, repository, sleep: options.sleep, onNotice: notice, signal });
  const there = (await readRepository(hub, repository)) === 'there';
  if (!there && parameters.create !== true && parameters.dryRun !== true)
    throw new HearthError('repo_not_found', `There is no ${repository} that this token can see. --create makes it, private.`, { details: { repository } });
  if (parameters.dryRun !== true) await checkTokenScope(hub);
  const onBytes = progressOf(parameters, 'check', totalBytes(folder));
  const { files, findings } = await lintFiles(folder.files, { secrets: [token], onBytes, signal });
  refuseFindings({ findings });
  const run: PushRun = { options, parameters, hub, repository, branch, signal };
  if (parameters.dryRun !== true) return await sendPlan(run, files, there, parameters.message ?? DEFAULT_MESSAGE);
  const own = there ? await readBranch(hub, repository, branch) : null;
  // A new branch begins where main is.
  const compared = own ?? (there ? await readBranch(hub, repository, 'main') : null);
  return dryRunData(planPush(files, compared, parameters.delete === true), { createRepo: !there, createBranch: own === null && branch !== 'main' });
}

function dryRunData(plan: PushPlan, would: { readonly createRepo: boolean; readonly createBranch: boolean }): Partial<PushData> {
  const paths = (files: readonly { readonly path: string }[]): string[] => files.slice(0, LISTED_FILES).map(({ path }) => path);
  const summary = summaryOf(plan);
  return {
    dry_run: true,
    dry_run_summary: summary,
    change_summary: summary,
    added_files: paths(plan.added),
    modified_files: paths(plan.modified),
    deleted_files: plan.deleted.slice(0, LISTED_FILES),
    remote_only_files: [...plan.remoteOnly],
    would_create_repo: would.createRepo,
    would_create_branch: would.createBranch,
    no_changes: isEmpty(plan),
    uploaded_files_count: 0,
    message: isEmpty(plan)
      ? 'A push would change nothing.'
      : `A push would add ${summary.added}, change ${summary.modified} and delete ${summary.deleted} files. Nothing was sent.`,
  };
}

const totalBytes = (folder: Folder): number => folder.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

/** The list of targets binds everybody; other programs may push to none that it does not name. Errors: push_refused. */
function checkTarget(options: StoreOptions, { repository, listedTargetsOnly = false, checkOnly = false }: PushParameters): void {
  const targets = options.pushTargets ?? [];
  if (!listedTargetsOnly && (checkOnly || targets.length === 0)) return;
  if (targets.some((glob) => globPattern(glob).test(repository))) return;
  const why = targets.length === 0 ? 'push.targets names no repository, so that pushing over HTTP is off' : 'push.targets does not name it';
  throw new HearthError('push_refused', `${repository} is no target of a push: ${why}. Nothing was sent.`, { details: { repository } });
}

const globPattern = (glob: string): RegExp =>
  new RegExp(
    `^${glob
      .split('*')
      .map((part) => part.replace(/[.+^${}()|[\]\\?]/g, '\\$&'))
      .join('[^/]*')}$`,
  );
