import { access, constants } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { HearthError } from '../../../core/index.ts';
import type { Command, CommandResult } from '../../../supervisor/index.ts';

/** A Python that environments can be made from. */
export interface Interpreter {
  readonly path: string;
  /** Such as 3.12. */
  readonly version: string;
  /** Where its standard library is. */
  readonly basePrefix: string;
}

export interface InterpreterSearch {
  /** Absolute path of the one to be used; null: one is looked for. */
  readonly wanted: string | null;
  /** Directories to look in. */
  readonly searchPath: readonly string[];
  /** Versions that there is a lock for, best first. */
  readonly versions: readonly string[];
  readonly run: (command: Command) => Promise<CommandResult>;
  readonly signal: AbortSignal;
}

const PLACES = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'];
const ASK = 'import json, sys; print(json.dumps([list(sys.version_info[:2]), sys.base_prefix, sys.implementation.name]))';
const ASK_MS = 20_000;

/** The first Python that fits. Throws dependency_missing telling what is needed and what was found. */
export async function findInterpreter({ wanted, searchPath, versions, run, signal }: InterpreterSearch): Promise<Interpreter> {
  const needed = versions.join(', ');
  if (wanted !== null) {
    if (!isAbsolute(wanted)) throw new HearthError('config_invalid', `engines.mlx.python needs an absolute path; '${wanted}' is not one.`);
    const found = await ask(wanted);
    if (found === null) throw new HearthError('dependency_missing', `engines.mlx.python names ${wanted}, which is no Python that runs.`);
    if (versions.includes(found.version)) return found;
    throw new HearthError('dependency_missing', `engines.mlx.python names Python ${found.version}; this version of hearth has locked packages for ${needed}.`);
  }
  const seen = new Set<string>();
  for (const name of [...versions.map((version) => `python${version}`), 'python3'])
    for (const directory of new Set([...searchPath.filter(isAbsolute), ...PLACES])) {
      const found = await ask(join(directory, name));
      if (found === null) continue;
      if (versions.includes(found.version)) return found;
      seen.add(found.version);
    }
  const there = seen.size === 0 ? 'there is none here' : `here is ${[...seen].join(', ')}`;
  throw new HearthError('dependency_missing', `The engine mlx needs Python ${needed}; ${there}. Install one, or name it with engines.mlx.python.`);

  async function ask(path: string): Promise<Interpreter | null> {
    try {
      await access(path, constants.X_OK);
      const { code, stdout } = await run({ command: path, args: ['-I', '-c', ASK], cwd: '/', env: { PATH: '/usr/bin:/bin' }, silenceMs: ASK_MS, signal });
      if (code !== 0) return null;
      const [version, basePrefix, implementation] = JSON.parse(stdout) as [number[], string, string];
      return implementation === 'cpython' ? { path, version: version.join('.'), basePrefix } : null;
    } catch (error) {
      if (signal.aborted) throw error;
      return null;
    }
  }
}
