import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { HearthError, readManagedFile } from '../core/index.ts';

const MAX_BYTES = 256 * 1024;

/** The user's file: `config.yaml` of the home, else `config.json`; undefined when there is none. */
export function findConfigFile(home: string): { readonly path: string; readonly text: string } | undefined {
  const present = ['config.yaml', 'config.json'].map((name) => join(home, name)).filter((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
  if (present.length > 1) throw new HearthError('config_invalid', `Both ${present.join(' and ')} exist; keep one of them.`);
  const path = present[0];
  if (path === undefined) return undefined;
  if (lstatSync(path).size > MAX_BYTES) throw new HearthError('config_invalid', `${path} is larger than 256 KiB.`);
  return { path, text: readManagedFile(path) ?? '' };
}
