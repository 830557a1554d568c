import type { HashedFile } from './lint.ts';
import type { RemoteBranch, RemoteFile } from './remote-state.ts';

/** What a commit would change. */
export interface PushPlan {
  readonly added: readonly HashedFile[];
  readonly modified: readonly HashedFile[];
  /** Paths; empty unless deletion is asked for. */
  readonly deleted: readonly string[];
  /** On the hub and not in the folder, and kept. */
  readonly remoteOnly: readonly string[];
}

/** The hub needs it to tell which files are large; a push without one does not mean that it should go. */
const KEPT = '.gitattributes';

export function planPush(files: readonly HashedFile[], branch: RemoteBranch | null, deleteOthers: boolean): PushPlan {
  const remote = new Map(branch?.files.map((file) => [file.path, file]));
  const local = new Set(files.map(({ path }) => path));
  const others = [...remote.keys()].filter((path) => !local.has(path)).sort();
  const deleted = deleteOthers ? others.filter((path) => path !== KEPT) : [];
  return {
    added: files.filter(({ path }) => !remote.has(path)),
    modified: files.filter((file) => remote.has(file.path) && !same(file, remote.get(file.path)!)),
    deleted,
    remoteOnly: deleteOthers ? [] : others.filter((path) => path !== KEPT),
  };
}

const same = (file: HashedFile, remote: RemoteFile): boolean => remote.digest === (remote.digest.length === 64 ? file.sha256 : file.gitSha1);

export const isEmpty = (plan: PushPlan): boolean => plan.added.length + plan.modified.length + plan.deleted.length === 0;

export const summaryOf = (plan: PushPlan) => ({ added: plan.added.length, modified: plan.modified.length, deleted: plan.deleted.length });
