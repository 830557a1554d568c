import { isAbsolute, join } from 'node:path';
import { HearthError } from '../core/index.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Absolute path of the hearth home: HEARTH_HOME after `~` expansion, else `~/.hearth`. */
export function hearthHome(env: Environment, userHome: string): string {
  const named = env['HEARTH_HOME'];
  if (named === undefined || named === '') return join(userHome, '.hearth');
  const path = expandTilde(named, userHome);
  if (!isAbsolute(path)) throw new HearthError('config_invalid', `HEARTH_HOME must be an absolute path, and it is "${named}".`);
  return path;
}

export function expandTilde(path: string, userHome: string): string {
  return path === '~' || path.startsWith('~/') ? join(userHome, path.slice(1)) : path;
}

/** Shows a path below the user's home with `~`. */
export function homeToTilde(path: string, userHome: string): string {
  return path === userHome || path.startsWith(`${userHome}/`) ? `~${path.slice(userHome.length)}` : path;
}
