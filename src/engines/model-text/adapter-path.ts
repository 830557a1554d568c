import { readdir, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { HearthError } from '../../core/index.ts';

/** Absolute path of an adapter's directory, which is named from the adapters directory. */
export function adapterPath(root: string | null, own: string): string {
  if (root === null) throw new HearthError('not_implemented', 'This engine was started without a directory of adapters.');
  const path = resolve(root, own);
  if (path.startsWith(join(root, '/')) && path !== resolve(root)) return path;
  throw new HearthError('invalid_value', `${own} is no directory below the directory of adapters.`);
}

/** A link that leads out of the directory of adapters leads this process to files that it was not given. Throws adapter_not_found, invalid_value. */
export async function refuseLinksOut(root: string, own: string, path: string): Promise<void> {
  const absent = (cause: unknown): HearthError =>
    new HearthError('adapter_not_found', `There is no adapter called ${own} in the directory ${root}.`, { cause });
  const inside = join(await realpath(root), '/');
  const names = await readdir(path).catch((cause: unknown) => {
    throw isDenied(cause) ? leadsOut(own) : absent(cause);
  });
  for (const name of ['.', ...names]) {
    // What a link leads to may not even be looked at.
    const real = await realpath(join(path, name)).catch((cause: unknown) => {
      throw isDenied(cause) ? leadsOut(join(own, name)) : absent(cause);
    });
    if (!real.startsWith(inside)) throw leadsOut(join(own, name));
  }
}

const isDenied = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED';
const leadsOut = (name: string): HearthError =>
  new HearthError('invalid_value', `${name} is a link that leads out of the directory of adapters; put a copy of the files there.`);
