import { execFileSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** The package as users install it, built anew from the sources of this checkout; inside of it, so that its dependencies are found. */
export function builtPackage(): string {
  const directory = join(root, '.env-peers/package');
  execFileSync(process.execPath, [join(root, 'tools/build.mjs'), join(directory, 'dist')], { stdio: ['ignore', 'ignore', 'inherit'] });
  for (const name of ['package.json', 'bin']) cpSync(join(root, name), join(directory, name), { recursive: true });
  return directory;
}
