// Chooses the program: the built code of the package, or the sources of a checkout. A checkout runs its built code too, as long as
// nothing in src is newer: it starts faster. Compiled code is kept between runs (module compile cache).
import { lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

const codeCache = ownCodeCache();
if (codeCache !== undefined) enableCompileCache(codeCache);
const built = useBuilt();

export const cli = () => import(built ? '../dist/cli/main.js' : '../src/cli/main.ts');
export const daemon = () => import(built ? '../dist/app/daemon/main.js' : '../src/app/daemon/main.ts');

// What lies there is run without a look at the sources, and Node's own place for it is a name that any user of the machine may take first.
function ownCodeCache() {
  const user = process.getuid?.();
  if (user === undefined) return undefined;
  const directory = join(tmpdir(), `hearth-code-${user}`);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch {
    // It is there already, or cannot be made: the next lines tell which.
  }
  const facts = lstatSync(directory, { throwIfNoEntry: false });
  return facts?.isDirectory() && facts.uid === user && (facts.mode & 0o077) === 0 ? directory : undefined;
}

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
