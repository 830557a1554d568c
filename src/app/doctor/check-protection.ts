import { readFileSync } from 'node:fs';
import { isHearthError } from '../../core/index.ts';
import { createEnclosure, findProgram, type SandboxMode } from '../../supervisor/index.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const INSTALL = 'Install bubblewrap (package `bubblewrap`), and allow user namespaces where the system forbids them.';

/** Which cage and which limits an engine would get now: tried, not looked up. */
export async function checkProtection(mode: SandboxMode, environment: Readonly<Record<string, string | undefined>>): Promise<readonly Finding[]> {
  try {
    const { cage, kernel } = await createEnclosure({ mode, environment }).ready();
    const inside = cage.outer === null ? '' : `, inside ${cage.outer}`;
    const because = cage.reason === null ? '' : ` ${cage.reason}.`;
    const sandbox =
      cage.strength === 'none'
        ? warn('sandbox', `Engines run without a sandbox: security.sandbox is off${inside}.`, '`hearth config set security.sandbox auto`')
        : cage.strength === 'weak'
          ? warn('sandbox', `The sandbox is weak (${cage.detail})${inside}.${because}`, INSTALL)
          : ok('sandbox', `${cage.kind}${inside}: ${cage.detail}.${because}`);
    const limits =
      kernel === null
        ? warn('limits', 'The kernel holds engines to no limits; memory, time and threads are looked at four times a second.', 'Install util-linux (prlimit).')
        : ok('limits', `${kernel.kind}, and what engines take is looked at four times a second.`);
    return [sandbox, limits, parentDeath(cage.kind)];
  } catch (error) {
    if (!isHearthError(error)) throw error;
    return [fail('sandbox', error.message, error.row.hint)];
  }
}

function parentDeath(kind: string): Finding {
  if (process.platform !== 'linux') return ok('parent-death', 'Engines end when their channel closes.');
  return kind === 'bubblewrap' || kind === 'namespaces' || findProgram('setpriv') !== null
    ? ok('parent-death', 'The kernel ends engines with the daemon.')
    : warn('parent-death', 'Engines end only when they notice that the daemon is gone.', 'Install util-linux (setpriv).');
}

const FEW_FILES = 1024;

/** What one process may have open: connections and engines need some hundred. */
export function checkOpenFiles(): Finding {
  const soft = Number(/^Max open files\s+(\d+)/m.exec(readText('/proc/self/limits'))?.[1] ?? Number.NaN);
  return Number.isNaN(soft) || soft >= FEW_FILES
    ? ok('open-files', Number.isNaN(soft) ? 'The system does not tell how many files may be open.' : `${soft} files may be open at a time.`)
    : warn('open-files', `Only ${soft} files may be open at a time.`, `\`ulimit -n ${FEW_FILES}\` in the shell that starts hearth.`);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
