import { lstat, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { sameIdentity } from '../signing/file-identity.ts';
import type { FileIdentity, ModelFile, SignatureProblem } from '../signing/index.ts';
import { identityAt } from './model-files.ts';

/** The files that an engine is about to read, and the directories of links that it reads them through. */
export interface FileWatch {
  /** The links of a directory; those that lead to no verified file have to lead below `own`. Gives what leads elsewhere. */
  addLinks(directory: string, own: string): Promise<SignatureProblem | null>;
  /** What is not as it was when it was added. */
  changed(): Promise<SignatureProblem | null>;
}

export function createFileWatch(verified: readonly ModelFile[]): FileWatch {
  const files = new Map<string, FileIdentity>(verified.map(({ source, identity }) => [source, identity]));
  const directories = new Map<string, string>();
  const changedProblem: SignatureProblem = { code: 'file_changed', message: 'a file changed while the engine read it' };

  return {
    async addLinks(directory, own) {
      const root = await realpath(own);
      directories.set(directory, await stampOf(directory));
      const entries = await readdir(directory, { recursive: true, withFileTypes: true });
      const targets = await Promise.all(entries.map((entry) => realpath(join(entry.parentPath, entry.name)).catch(() => null)));
      for (const [index, entry] of entries.entries()) {
        const path = join(entry.parentPath, entry.name);
        if (entry.isDirectory()) {
          directories.set(path, await stampOf(path));
          continue;
        }
        const target = targets[index] ?? null;
        if (target !== null && files.has(target)) continue;
        const identity = target?.startsWith(`${root}/`) ? await identityAt(target) : null;
        if (target === null || identity === null) return { code: 'file_changed', message: 'a link of the view leads elsewhere', file: entry.name };
        files.set(target, identity);
      }
      return null;
    },

    async changed() {
      const moved = [...directories].map(async ([path, stamp]) => (await stampOf(path)) !== stamp);
      const changed = [...files].map(async ([path, before]) => {
        const now = await identityAt(path);
        return now === null || !sameIdentity(now, before);
      });
      return (await Promise.all([...moved, ...changed])).includes(true) ? changedProblem : null;
    },
  };
}

/** Changes with every link that is made, removed or replaced in it. */
async function stampOf(directory: string): Promise<string> {
  const facts = await lstat(directory, { bigint: true }).catch(() => null);
  return facts === null ? 'gone' : [facts.dev, facts.ino, facts.mtimeNs, facts.ctimeNs].join(':');
}
