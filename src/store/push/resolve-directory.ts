import { basename, dirname, join } from 'node:path';
import { HearthError } from '../../core/index.ts';
import { directoryEntries, isDirectory } from '../cache-layout.ts';
import { expandPath, isWorkspace, listWorkspaceHome } from '../locate.ts';
import { isExplicitPath } from '../names.ts';
import type { StoreOptions } from '../options.ts';

type Paths = Pick<StoreOptions, 'workspaceHome' | 'userHome' | 'workingDirectory'>;

/**
 * The folder of a push: a directory that exists, else the one workspace whose explicit path begins so, else a workspace of the workspace home
 * by its name. `nameOnly`: the last alone, for callers that may not name paths. Errors: workspace_not_found, ambiguous_workspace.
 */
export async function resolveDirectory(paths: Paths, text: string, nameOnly = false): Promise<string> {
  if (text.includes('\0')) throw new HearthError('workspace_not_found', 'A path cannot hold a NUL character.');
  const path = expandPath(paths, text);
  if (!nameOnly && (await isDirectory(path))) return path;
  if (!nameOnly && isExplicitPath(text)) return await byPrefix(path, text);
  if (paths.workspaceHome !== null && (await listWorkspaceHome(paths)).includes(text)) return join(paths.workspaceHome, text);
  const home = paths.workspaceHome === null ? '' : ', and no workspace of that name';
  throw new HearthError('workspace_not_found', `There is no directory ${nameOnly ? text : path}${home}.`);
}

async function byPrefix(path: string, text: string): Promise<string> {
  const parent = dirname(path);
  const matches: string[] = [];
  for (const entry of await directoryEntries(parent)) {
    if (entry.name.startsWith(basename(path)) && !entry.name.startsWith('.') && (await isWorkspace(join(parent, entry.name))))
      matches.push(join(parent, entry.name));
  }
  const only = matches[0];
  if (only === undefined) throw new HearthError('workspace_not_found', `There is no directory ${path}, and no workspace whose path begins so.`);
  if (matches.length > 1)
    throw new HearthError('ambiguous_workspace', `"${text}" is the beginning of ${matches.length} workspaces.`, { details: { matches: matches.sort() } });
  return only;
}
