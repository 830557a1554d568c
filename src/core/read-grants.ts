import { HearthError } from './hearth-error.ts';

/**
 * Node's permission flags for a child that may read these files and directories, and nothing else. Node takes `*` in a path as "whatever comes here"
 * and has no way to mean the character itself: such a path would open its neighbours too. Throws `unsafe_path`.
 */
export function readGrants(paths: readonly string[]): string[] {
  return paths.map((path) => {
    if (path.includes('*'))
      throw new HearthError('unsafe_path', `${path} has a * in its name, which would let a program in a cage read other files too. Rename it.`, {
        details: { path },
      });
    return `--allow-fs-read=${path}`;
  });
}
