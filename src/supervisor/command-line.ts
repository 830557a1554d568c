import { isAbsolute } from 'node:path';
import { HearthError } from '../core/index.ts';
import type { Argv } from './cage/cage.ts';
import type { ProcessSpec } from './process-spec.ts';

/** The parent's variables that a child may see; all others stay behind (docs/spec/security.md §9). */
const INHERITED = ['PATH', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'SystemRoot'];
/** Names that an engine may never set: they change what a program loads or where it connects. */
const FORBIDDEN = /^(NODE_|LD_|DYLD_|PYTHON|SSL_|HTTP_|HTTPS_|ALL_PROXY|PATH$|HOME$|HF_TOKEN|.*(TOKEN|SECRET|PASSWORD|API_KEY))/i;

/** The whole environment of a child: allow-list, home in its own directory, engine variables. */
export function childEnvironment(spec: ProcessSpec, parent: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const result: Record<string, string> = { HOME: spec.cwd };
  for (const name of INHERITED) {
    const value = parent[name];
    if (value !== undefined) result[name] = value;
  }
  for (const [name, value] of Object.entries(spec.env)) {
    if (!/^[A-Z][A-Z0-9_]*$/.test(name) || FORBIDDEN.test(name))
      throw new HearthError('engine_options_invalid', `An engine process may not get the environment variable ${name}.`);
    result[name] = value;
  }
  return result;
}

/** The program with its arguments and the random id that tells it from every other process. Throws engine_options_invalid. */
export function commandLine(spec: ProcessSpec, launchId: string): Argv {
  for (const path of [spec.command, spec.cwd, ...spec.readPaths, ...spec.writePaths])
    if (!isAbsolute(path)) throw new HearthError('engine_options_invalid', `A process needs absolute paths; '${path}' is not one.`);
  for (const text of [spec.command, spec.cwd, ...spec.args, ...spec.readPaths, ...spec.writePaths])
    if (text.includes('\0')) throw new HearthError('engine_options_invalid', 'A process may not get a text with a zero byte.');
  return [spec.command, ...spec.args, `--hearth-launch=${launchId}`];
}
