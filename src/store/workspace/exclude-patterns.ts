/** What the content hash of a workspace leaves out (docs/spec/store.md §8); frozen into the sentinel when the hash is first computed. */
export const DEFAULT_EXCLUDES: readonly string[] = [
  '.hf_cache/',
  '.mlxk_workspace.json',
  '.git/',
  '.github/',
  '__pycache__/',
  '.vscode/',
  '.idea/',
  '.ipynb_checkpoints/',
  '.mypy_cache/',
  '.pytest_cache/',
  '.ruff_cache/',
  '.tox/',
  'node_modules/',
  '.venv/',
  'venv/',
  '*.lock',
  '*.tmp',
  '*.log',
  '*.bak',
  '.DS_Store',
  '._*',
  '.Spotlight-V100/',
  '.Trashes/',
  '.fseventsd/',
  '.TemporaryItems/',
  '.apdisk',
  'Icon\r',
  'Thumbs.db',
  'desktop.ini',
  '$RECYCLE.BIN/',
  'System Volume Information/',
  '*~',
  '.*.swp',
  '.*.swo',
];

export interface Excludes {
  /** A directory of that name is not entered, at any depth. */
  directory(name: string): boolean;
  /** A file of that name is left out. */
  file(name: string): boolean;
}

export function compileExcludes(patterns: readonly string[]): Excludes {
  const directories = patterns.filter((pattern) => pattern.endsWith('/')).map((pattern) => globPattern(pattern.slice(0, -1)));
  const files = patterns.filter((pattern) => !pattern.endsWith('/')).map(globPattern);
  return {
    directory: (name) => directories.some((pattern) => pattern.test(name)),
    file: (name) => files.some((pattern) => pattern.test(name)),
  };
}

/** fnmatch of Python, case-sensitive: `*`, `?`, `[set]`, `[!set]`; a bracket without its end is itself. */
function globPattern(glob: string): RegExp {
  let source = '';
  for (let at = 0; at < glob.length; at++) {
    const char = glob[at]!;
    const end = char === '[' ? glob.indexOf(']', at + (glob[at + 1] === '!' ? 3 : 2)) : -1;
    if (char === '*') source += '[^]*';
    else if (char === '?') source += '[^]';
    else if (end > 0) {
      const set = glob
        .slice(at + 1, end)
        .replace(/\\/g, '\\\\')
        .replace(/\]/g, '\\]')
        .replace(/^\^/, '\\^');
      source += `[${set.startsWith('!') ? `^${set.slice(1)}` : set}]`;
      at = end;
    } else source += char.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  }
  return new RegExp(`^${source}$`);
}
