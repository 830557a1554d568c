import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes the directory and those of its parents that are missing, with mode 0700. Node's own recursive mkdir never ends where the parent is there
 * and the system says ENOENT all the same, as /proc does; here it is an error, as of every other call.
 */
export function makePrivateDirectorySync(path: string): void {
  const missing: string[] = [];
  let at = resolve(path);
  while (!makeOne(at)) {
    missing.unshift(at);
    at = dirname(at);
  }
  for (const next of missing) if (!makeOne(next)) mkdirSync(next, { mode: 0o700 });
}

/** False where the parent is missing. */
function makeOne(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && dirname(path) !== path) return false;
    // A root, or a directory that others made, may not be made and is there: some systems say EPERM, EROFS or EISDIR of it.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return true;
    throw error;
  }
}

/** The same for callers that wait anyway: some quick calls of the system. */
export async function makePrivateDirectory(path: string): Promise<void> {
  makePrivateDirectorySync(path);
}
