import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError } from '../../core/index.ts';
import { compileGlob, type Glob } from './glob.ts';

/** Never sent, whatever .hfignore says (docs/spec/store.md §9). */
const ALWAYS: readonly string[] = ['.git/', '.mlxk_workspace.json', '.hf_cache/', '.hfignore'];
/** Left out unless a line of .hfignore takes it in again. */
const DEFAULTS: readonly string[] = ['.DS_Store', '.gitignore', '__pycache__/', '.venv/', 'venv/', '*.pyc'];
const MAX_BYTES = 1024 * 1024;
const MAX_LINES = 10_000;

export interface IgnoreRules {
  /** Whether a relative POSIX path is left out; a directory that is left out is not entered. */
  ignores(path: string, kind: 'file' | 'directory'): boolean;
}

interface Rule {
  readonly matches: Glob;
  readonly directoryOnly: boolean;
  /** `!`: takes in again what an earlier line left out. */
  readonly negated: boolean;
}

/**
 * Lines as git reads them: `#` comments, `\#` and `\!` for themselves, `!` takes in again, a final `/` means directories, a `/` elsewhere binds
 * to the folder's root, `*` and `?` stay within a name, `**` crosses directories; the last line that matches decides.
 */
export function compileIgnoreRules(text: string): IgnoreRules {
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .slice(0, MAX_LINES);
  const always = ALWAYS.map(ruleOf).filter((rule) => rule !== null);
  const rules = [...DEFAULTS, ...lines].map(ruleOf).filter((rule) => rule !== null);
  return {
    ignores(path, kind) {
      const matches = (rule: Rule): boolean => (!rule.directoryOnly || kind === 'directory') && rule.matches(path);
      if (always.some(matches)) return true;
      return rules.findLast(matches)?.negated === false;
    },
  };
}

function ruleOf(line: string): Rule | null {
  // Blanks at the end count only after a backslash.
  let text = line.replace(/(?<!\\) +$/, '');
  if (text === '' || text.startsWith('#')) return null;
  const negated = text.startsWith('!');
  if (negated) text = text.slice(1);
  const directoryOnly = text.endsWith('/');
  if (directoryOnly) text = text.slice(0, -1);
  const rooted = text.includes('/');
  const glob = text.replace(/^\//, '');
  return glob === '' ? null : { matches: compileGlob(glob, rooted), directoryOnly, negated };
}

/** The rules of a folder. Errors: push_refused for a .hfignore that is no plain text file. */
export async function readIgnoreRules(directory: string): Promise<IgnoreRules> {
  let text = '';
  try {
    await using handle = await open(join(directory, '.hfignore'), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const info = await handle.stat();
    if (!info.isFile() || info.size > MAX_BYTES) throw new HearthError('push_refused', '.hfignore is no file, or larger than 1 MiB.');
    text = await handle.readFile('utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ELOOP') throw new HearthError('push_refused', '.hfignore is a link; hearth reads only files of the folder itself.', { cause: error });
    if (code !== 'ENOENT') throw error;
  }
  return compileIgnoreRules(text);
}
