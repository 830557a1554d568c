/** What an installation must not find in a lock of npm (docs/spec/security.md §15). */
export const LOCK_PROBLEMS = ['integrity_missing', 'source_git', 'source_http', 'source_file', 'source_remote', 'script_unlisted', 'version_range'] as const;

export interface LockProblem {
  readonly code: (typeof LOCK_PROBLEMS)[number];
  /** Path in the lock. */
  readonly path: string;
  readonly message: string;
}

export interface LockRules {
  /** Hosts that archives may come from; an entry without an address comes from the registry that npm is set to. */
  readonly hosts: readonly string[];
  /** Packages that may run a script of their own when they are installed. */
  readonly scripts: readonly string[];
}

interface Entry {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly inBundle?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const EXACT = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;

/** All that is wrong with a `package-lock.json`: npm itself takes an entry without integrity, and follows any address that stands there. */
export function lockProblems(text: string, { hosts, scripts }: LockRules): readonly LockProblem[] {
  const { packages = {} } = JSON.parse(text) as { readonly packages?: Readonly<Record<string, Entry>> };
  return Object.entries(packages).flatMap(([path, entry]) => (path === '' ? ownProblems(entry) : entryProblems(path, entry, hosts, scripts)));
}

function entryProblems(path: string, entry: Entry, hosts: readonly string[], scripts: readonly string[]): LockProblem[] {
  const problem = (code: LockProblem['code'], message: string): LockProblem => ({ code, path, message: `${path} ${message}` });
  const { resolved, integrity, link, inBundle, hasInstallScript } = entry;
  const found: LockProblem[] = [];
  if (link === true || (resolved ?? '').startsWith('file:')) return [problem('source_file', 'is a folder or file of this machine')];
  if (resolved !== undefined) {
    const url = URL.canParse(resolved) ? new URL(resolved) : null;
    if (/^git[+:@]|\.git(#|$)/.test(resolved) || url?.protocol === 'ssh:') found.push(problem('source_git', 'comes from git'));
    else if (url?.protocol !== 'https:') found.push(problem('source_http', `is not fetched by https: ${resolved.slice(0, 100)}`));
    else if (!hosts.includes(url.host)) found.push(problem('source_remote', `comes from ${url.host}`));
  }
  // What lies in another package's archive is covered by that one's.
  if (inBundle !== true && !/^sha(256|384|512)-/.test(integrity ?? '')) found.push(problem('integrity_missing', 'has no SHA-2 integrity'));
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  if (hasInstallScript === true && !scripts.includes(name)) found.push(problem('script_unlisted', 'runs a script when it is installed'));
  return found;
}

/** The project's own dependencies: exact versions. */
function ownProblems({ dependencies, devDependencies, optionalDependencies }: Entry): LockProblem[] {
  return Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })
    .filter(([, wanted]) => !EXACT.test(wanted))
    .map(([name, wanted]) => ({
      code: 'version_range' as const,
      path: '',
      message: `${name} is asked for as ${wanted.slice(0, 100)}, not by an exact version`,
    }));
}
