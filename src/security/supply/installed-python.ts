import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageName } from './osv.ts';
import type { Lock, LockedPackage } from './types.ts';

/** The packages of a Python environment by their own metadata, with what each asks for of those that are there. */
export async function readInstalledPython(directory: string): Promise<Lock> {
  const libraries = (await readdir(join(directory, 'lib')).catch(() => [])).filter((name) => name.startsWith('python'));
  const texts: string[] = [];
  for (const library of libraries) {
    const site = join(directory, 'lib', library, 'site-packages');
    for (const name of (await readdir(site).catch(() => [])).filter((each) => each.endsWith('.dist-info'))) {
      texts.push(await readFile(join(site, name, 'METADATA'), 'utf8').catch(() => ''));
    }
  }
  const read = texts.map(metadataOf).filter((each) => each !== null);
  const there = new Set(read.map(({ name }) => name));
  const packages = read.map(({ name, version, licence, wants }): LockedPackage => {
    const dependsOn = [...new Set(wants)].filter((want) => there.has(want) && want !== name).sort();
    return { ecosystem: 'PyPI', name, version, integrity: null, licence, scope: 'required', path: name, dependsOn, installScript: false };
  });
  return { file: directory, packages: packages.sort((a, b) => (a.name < b.name ? -1 : 1)), roots: [], hasGraph: true };
}

function metadataOf(
  text: string,
): { readonly name: string; readonly version: string; readonly licence: string | null; readonly wants: readonly string[] } | null {
  const headers = text.split(/\r?\n\r?\n/, 1)[0]!;
  const field = (name: string): string | null => new RegExp(`^${name}: *(.+)$`, 'mi').exec(headers)?.[1]?.trim() ?? null;
  const [name, version] = [field('Name'), field('Version')];
  if (name === null || version === null) return null;
  const licence = field('License-Expression') ?? field('License');
  // What only an extra asks for is not asked for.
  const wants = [...headers.matchAll(/^Requires-Dist: *([A-Za-z0-9][A-Za-z0-9._-]*)(.*)$/gim)].flatMap(([, want, rest]) =>
    /\bextra\s*==/.test(rest!) ? [] : [packageName('PyPI', want!)],
  );
  return { name: packageName('PyPI', name), version, licence: licence === null || licence.length > 100 ? null : licence, wants };
}
