import { readFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { Lock, LockedPackage } from './types.ts';

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string | { readonly type?: string };
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/**
 * The packages that an installed program uses, by the manifests in the `node_modules` around it: an installation from a registry carries no lock.
 * What is not there is left out, as optional packages are.
 */
export async function readInstalledPackages(root: string): Promise<Lock> {
  const packages = new Map<string, LockedPackage>();
  const visit = async (directory: string): Promise<string[]> => {
    const manifest = await readManifest(directory);
    const names = Object.keys({ ...manifest?.dependencies, ...manifest?.optionalDependencies, ...manifest?.peerDependencies });
    const found = await Promise.all(names.map((name) => findPackage(directory, name)));
    return found.filter((each) => each !== null).sort();
  };
  const pathOf = (directory: string): string => relative(root, directory).split(sep).join('/');
  const roots = await visit(root);
  for (const waiting = [...roots]; waiting.length > 0; ) {
    const directory = waiting.pop()!;
    if (packages.has(directory)) continue;
    const manifest = await readManifest(directory);
    const needs = await visit(directory);
    const licence = typeof manifest?.license === 'string' ? manifest.license : (manifest?.license?.type ?? null);
    packages.set(directory, {
      ecosystem: 'npm',
      name: manifest?.name ?? '',
      version: manifest?.version ?? '',
      integrity: null,
      licence,
      scope: 'required',
      path: pathOf(directory),
      dependsOn: needs.map(pathOf),
      installScript: false,
    });
    waiting.push(...needs);
  }
  return { file: join(root, 'package.json'), packages: [...packages.values()], roots: roots.map(pathOf), hasGraph: true };
}

async function readManifest(directory: string): Promise<Manifest | null> {
  try {
    return JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Manifest;
  } catch {
    return null;
  }
}

/** As Node looks for it: in the `node_modules` of each directory above. */
async function findPackage(from: string, name: string): Promise<string | null> {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', name);
    if ((await readManifest(candidate)) !== null) return candidate;
    if (dirname(directory) === directory) return null;
  }
}
