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
      for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (entry.isDirectory()) {
          directories.set(path, await stampOf(path));
          continue;
        }
        const target = await realpath(path).catch(() => null);
        if (target !== null && files.has(target)) continue;
        const identity = target?.startsWith(`${root}/`) ? await identityAt(target) : null;
        if (target === null || identity === null) return { code: 'file_changed', message: 'a link of the view leads elsewhere', file: entry.name };
        files.set(target, identity);
      }
      return null;
    },

    async changed() {
      for (const [path, stamp] of directories) if ((await stampOf(path)) !== stamp) return changedProblem;
      for (const [path, before] of files) {
        const now = await identityAt(path);
        if (now === null || !sameIdentity(now, before)) return changedProblem;
      }
      return null;
    },
  };
}

/** Changes with every link that is made, removed or replaced in it. */
async function stampOf(directory: string): Promise<string> {
  const { dev, ino, mtimeNs, ctimeNs } = await lstat(directory, { bigint: true });
  return [dev, ino, mtimeNs, ctimeNs].join(':');
}
