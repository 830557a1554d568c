import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError } from '../../../core/index.ts';

export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
}

/** The packages of an environment, each by the digest of its one wheel. */
export interface EnvironmentLock {
  readonly path: string;
  /** 12 hex digits of the file's own digest: name of the environment. */
  readonly id: string;
  /** Such as 3.12. */
  readonly python: string;
  readonly packages: readonly LockedPackage[];
}

const LINE = /^([a-z0-9][a-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*) --hash=sha256:([0-9a-f]{64})$/;

/** The locks that are shipped for a platform, newest Python last. */
export async function readLocks(directory: string, { os, arch }: { readonly os: string; readonly arch: string }): Promise<readonly EnvironmentLock[]> {
  const pattern = new RegExp(`^mlx-${os}-${arch}-py(\\d)(\\d+)\\.txt$`);
  const names = (await readdir(directory)).filter((name) => pattern.test(name)).sort();
  return Promise.all(
    names.map(async (name) => {
      const [, major, minor] = pattern.exec(name)!;
      return readLock(join(directory, name), `${major}.${minor}`);
    }),
  );
}

async function readLock(path: string, python: string): Promise<EnvironmentLock> {
  const text = await readFile(path, 'utf8');
  const packages = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const match = LINE.exec(line);
      // A line that pip would read otherwise, such as an option or a URL, is no lock.
      if (match === null) throw new HearthError('engine_install_failed', `${path} holds a line that is no package with its digest: ${line.slice(0, 80)}`);
      return { name: match[1]!, version: match[2]!, sha256: match[3]! };
    });
  return { path, id: createHash('sha256').update(text).digest('hex').slice(0, 12), python, packages };
}
