import type { PushData } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { askModes, commit } from './commit.ts';
import { createBranch, createRepository } from './create-target.ts';
import type { HashedFile } from './lint.ts';
import { manifestLines } from './manifest-lines.ts';
import { isEmpty, type PushPlan, planPush, summaryOf } from './plan.ts';
import { type PushRun, progressOf } from './push-run.ts';
import { type RemoteBranch, readBranch, readRepository } from './remote-state.ts';
import { uploadObjects } from './upload-objects.ts';
import { createUploadRecords } from './upload-records.ts';

/** A head that moves away twice is somebody else at work. */
const MAX_COMMITS = 2;

/** Makes what is missing, sends what the hub lacks, and commits. Errors: those of push. */
export async function sendPlan(run: PushRun, files: readonly HashedFile[], there: boolean, message: string): Promise<Partial<PushData>> {
  const { hub, repository, branch, parameters } = run;
  const createdRepo = there ? false : await createRepository(hub, repository);
  let head = await readBranch(hub, repository, branch);
  let createdBranch = false;
  // An empty repository has no main yet: the first commit makes it.
  if (head === null && branch !== 'main') {
    await createBranch(hub, repository, branch);
    createdBranch = true;
    head = await readBranch(hub, repository, branch);
  }
  const created: Partial<PushData> = { created_repo: createdRepo, created_branch: createdBranch };
  let told = false;
  let sent: Sent = { files: 0, bytes: 0 };
  for (let attempt = 1; ; attempt++) {
    const plan = planPush(files, head, parameters.delete === true);
    if (isEmpty(plan)) return { ...created, ...(attempt > 1 && head !== null ? ownCommit(run, head, plan, sent) : nothingToDo(run, plan)) };
    if (!told) for (const line of manifestLines(plan, run)) parameters.onNotice?.(line);
    told = true;
    const modes = await askModes(hub, run, [...plan.added, ...plan.modified]);
    const wanted = [...plan.added, ...plan.modified].filter(({ path }) => modes.get(path) !== null);
    const ignored = plan.added.length + plan.modified.length - wanted.length;
    if (ignored > 0) parameters.onNotice?.(`The repository's own .gitignore leaves ${ignored} ${ignored === 1 ? 'file' : 'files'} out.`);
    const left: PushPlan = {
      ...plan,
      added: plan.added.filter((file) => wanted.includes(file)),
      modified: plan.modified.filter((file) => wanted.includes(file)),
    };
    if (isEmpty(left)) return { ...created, ...nothingToDo(run, left) };
    const result = await sendAndCommit(
      run,
      wanted.filter(({ path }) => modes.get(path) === 'regular'),
      wanted.filter(({ path }) => modes.get(path) === 'lfs'),
      {
        deleted: left.deleted,
        parent: head?.commit ?? null,
        message,
      },
    );
    sent = { files: wanted.length, bytes: wanted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), summary: summaryOf(left) };
    if (result.kind === 'done') {
      return {
        ...created,
        commit_sha: result.sha,
        commit_url: result.url,
        uploaded_files_count: sent.files,
        uploaded_bytes: sent.bytes,
        no_changes: false,
        change_summary: summaryOf(left),
        remote_only_files: [...plan.remoteOnly],
        message: `Pushed to ${repository} (${branch}).`,
      };
    }
    if (attempt >= MAX_COMMITS)
      throw new HearthError('push_conflict', `${branch} of ${repository} changed while the files were sent; nothing was committed.`, {
        details: { repository, branch },
      });
    head = await readBranch(hub, repository, branch);
  }
}

interface Sent {
  readonly files: number;
  readonly bytes: number;
  readonly summary?: PushData['change_summary'];
}

async function sendAndCommit(
  run: PushRun,
  regular: readonly HashedFile[],
  large: readonly HashedFile[],
  request: { readonly deleted: readonly string[]; readonly parent: string | null; readonly message: string },
) {
  const { options, hub, repository, branch, parameters } = run;
  const records = createUploadRecords({ stateDirectory: options.stateDirectory, endpoint: options.hub.endpoint, repository, now: options.clock.now });
  const objects = [...new Map(large.map((file) => [file.sha256, file])).values()];
  const onBytes = progressOf(
    parameters,
    'upload',
    objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  );
  // Reading and sending take their time: the repository must be private still.
  await readRepository(hub, repository);
  await uploadObjects({ hub, repository, branch, records, onBytes }, objects);
  await readRepository(hub, repository);
  return await commit(hub, { repository, branch, regular, large, ...request });
}

function nothingToDo(run: PushRun, plan: PushPlan): Partial<PushData> {
  return {
    no_changes: true,
    uploaded_files_count: 0,
    uploaded_bytes: 0,
    change_summary: summaryOf(plan),
    remote_only_files: [...plan.remoteOnly],
    message: `${run.repository} (${run.branch}) has all of it already; no commit was made.`,
  };
}

/** The hub had made our commit, and its answer was lost: the head is what we sent. */
function ownCommit(run: PushRun, head: RemoteBranch, plan: PushPlan, sent: Sent): Partial<PushData> {
  return {
    commit_sha: head.commit,
    commit_url: `${run.options.hub.endpoint.replace(/\/+$/, '')}/${run.repository}/commit/${head.commit}`,
    uploaded_files_count: sent.files,
    uploaded_bytes: sent.bytes,
    no_changes: false,
    change_summary: sent.summary ?? summaryOf(plan),
    remote_only_files: [...plan.remoteOnly],
    message: `Pushed to ${run.repository} (${run.branch}).`,
  };
}
