// Chooses the program: the built code of the package, or the sources of a checkout. A checkout runs its built code too, as long as
// nothing in src is newer: it starts faster. Compiled code is kept between runs (module compile cache).
import { readdirSync, statSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

enableCompileCache();
const built = useBuilt();

export const cli = () => import(built ? '../dist/cli/main.js' : '../src/cli/main.ts');
export const daemon = () => import(built ? '../dist/app/daemon/main.js' : '../src/app/daemon/main.ts');

function useBuilt() {
  const src = join(root, 'src');
  const newest = modifiedAt(src);
  if (newest === undefined) return true; // the package has no sources
  const stamp = modifiedAt(join(root, 'dist/.complete'));
  if (stamp === undefined || newest > stamp) return false;
  // A directory's own time tells of files that came or went.
  return readdirSync(src, { recursive: true }).every((name) => modifiedAt(join(src, name)) <= stamp);
}

function modifiedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}
