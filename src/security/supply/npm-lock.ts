import { HearthError } from '../../core/index.ts';
import type { Lock, LockedPackage } from './types.ts';

/** What is read of an entry of `packages`. */
interface Entry {
  readonly name?: string;
  readonly version?: string;
  readonly integrity?: string;
  readonly license?: string | { readonly type?: string };
  readonly link?: boolean;
  readonly resolved?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
  readonly peer?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const MODULES = 'node_modules/';

/** Reads a `package-lock.json` (lockfileVersion 2 or 3; the hidden lock of an installation is the same). Throws invalid_argument. */
export function readNpmLock(text: string, file: string): Lock {
  const refused = (why: string): HearthError => new HearthError('invalid_argument', `${file} cannot be read as a lock of npm: ${why}.`);
  let document: { readonly lockfileVersion?: unknown; readonly packages?: Readonly<Record<string, Entry>> };
  try {
    document = JSON.parse(text) as typeof document;
  } catch (error) {
    throw new HearthError('invalid_argument', `${file} is no JSON.`, { cause: error });
  }
  const { lockfileVersion: version, packages: entries } = document ?? {};
  if (version !== 2 && version !== 3) throw refused(`its lockfileVersion is ${JSON.stringify(version)}, and 2 and 3 are known; \`npm install\` writes it anew`);
  if (typeof entries !== 'object' || entries === null) throw refused('it has no packages');

  const resolve = (from: string, name: string): string | null => {
    for (let base = from; ; base = parentOf(base)) {
      const path = base === '' ? MODULES + name : `${base}/${MODULES}${name}`;
      const entry = entries[path];
      if (entry !== undefined) return entry.link === true && entry.resolved !== undefined ? entry.resolved : path;
      if (base === '') return null;
    }
  };
  const wanted = (path: string, entry: Entry): string[] => {
    const names = { ...entry.dependencies, ...entry.optionalDependencies, ...entry.peerDependencies, ...(path === '' ? entry.devDependencies : {}) };
    return [...new Set(Object.keys(names).flatMap((name) => resolve(path, name) ?? []))].sort();
  };

  const packages: LockedPackage[] = [];
  for (const [path, entry] of Object.entries(entries)) {
    // Folders of the project itself are no packages of a registry.
    if (!path.includes(MODULES) || entry.link === true) continue;
    const name = entry.name ?? path.slice(path.lastIndexOf(MODULES) + MODULES.length);
    if (typeof entry.version !== 'string') throw refused(`${path} has no version`);
    packages.push({
      ecosystem: 'npm',
      name,
      version: entry.version,
      integrity: entry.integrity ?? null,
      licence: typeof entry.license === 'string' ? entry.license : (entry.license?.type ?? null),
      scope: entry.dev === true ? 'excluded' : entry.optional === true || entry.devOptional === true || entry.peer === true ? 'optional' : 'required',
      path,
      dependsOn: wanted(path, entry).filter((each) => each.includes(MODULES)),
      installScript: entry.hasInstallScript === true,
    });
  }
  const roots = Object.entries(entries).flatMap(([path, entry]) => (path.includes(MODULES) ? [] : wanted(path, entry)));
  return { file, packages, roots: [...new Set(roots)].filter((path) => path.includes(MODULES)).sort(), hasGraph: true };
}

/** `a/node_modules/b` lies in `a`; a folder of the project in the project. */
const parentOf = (path: string): string => {
  const at = path.lastIndexOf(`/${MODULES}`);
  return at < 0 ? '' : path.slice(0, at);
};
