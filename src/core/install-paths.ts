import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Directories that a program of ours is read from: this package, and those of the packages that it imports, wherever the installer put them. */
export function installPaths(packages: readonly string[], installDirectory = packageDirectory(fileURLToPath(import.meta.url))): readonly string[] {
  const others = packages.map((name) => packageDirectory(fileURLToPath(import.meta.resolve(name))));
  return [installDirectory, ...others.filter((path) => !path.startsWith(join(installDirectory, '/')))];
}

/** The installed package that a file belongs to; in a checkout the nearest directory above with a package.json. */
function packageDirectory(file: string): string {
  const installed = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(file);
  if (installed !== null) return installed[0];
  let directory = dirname(file);
  while (!existsSync(join(directory, 'package.json')) && dirname(directory) !== directory) directory = dirname(directory);
  return directory;
}
