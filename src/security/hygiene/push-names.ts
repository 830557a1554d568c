import { REFUSED_SUFFIX } from '../intake/file-kind.ts';

/** Why a file must not leave this machine (docs/spec/security.md §12, the refused formats of §4.2). */
export interface PushFinding {
  readonly path: string;
  readonly code: PushFindingCode;
  /** A clause that follows "<path>: ". */
  readonly message: string;
}

export type PushFindingCode =
  | 'environment_file'
  | 'key_file'
  | 'secret_content'
  | 'cache'
  | 'log_file'
  | 'database'
  | 'symlink'
  | 'special_file'
  | 'too_large'
  | 'name_refused'
  | 'format_refused'
  | 'quarantine';

type Rule = readonly [code: PushFindingCode, pattern: RegExp, message: string];

/** On the name of a file. */
const FILE_RULES: readonly Rule[] = [
  ['environment_file', /^\.env/i, 'files with environment variables hold passwords and tokens'],
  ['key_file', /^id_(rsa|dsa|ecdsa|ed25519)[^.]*$|\.(pem|key|p12|pfx|ppk|jks|keystore|kdbx)$/i, 'it looks like a private key'],
  [
    'key_file',
    /^(\.netrc|_netrc|\.npmrc|\.pypirc|\.git-credentials|\.htpasswd|\.pgpass|credentials(\.json)?|token|\.token|install\.key)$/i,
    'it holds credentials',
  ],
  ['log_file', /\.log(\.\w+)*$|^nohup\.out$|^events\.out\.tfevents\./i, 'logs tell what happened on this machine'],
  ['database', /\.(db|sqlite3?|duckdb|mdb|ldb)(-wal|-shm|-journal)?$/i, 'it is a database'],
  ['format_refused', REFUSED_SUFFIX, 'hearth neither loads nor sends this kind of file'],
];

/** On the name of a directory above the file. */
const DIRECTORY_RULES: readonly Rule[] = [
  ['key_file', /^\.(ssh|aws|gnupg|kube|docker|azure)$/i, 'its directory holds credentials'],
  [
    'cache',
    /^(\.cache|\.mypy_cache|\.pytest_cache|\.ruff_cache|\.ipynb_checkpoints|\.tox|node_modules|\.hearth_temp_.*|models--.*|\.locks)$/i,
    'its directory is a cache',
  ],
  ['log_file', /^(wandb|mlruns|\.aim)$/i, 'its directory holds logs of trainings'],
];

/** What a relative POSIX path alone tells; null when nothing speaks against it. */
export function findingByName(path: string): PushFinding | null {
  const segments = path.split('/');
  const name = segments.pop()!;
  for (const [code, pattern, message] of DIRECTORY_RULES) if (segments.some((segment) => pattern.test(segment))) return { path, code, message };
  for (const [code, pattern, message] of FILE_RULES) if (pattern.test(name)) return { path, code, message };
  return null;
}
