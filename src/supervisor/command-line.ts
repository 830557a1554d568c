import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { HearthError } from '../core/index.ts';
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

/** `setpriv` of util-linux, which asks the kernel to kill the child when its parent dies; null where there is none. */
export function findSetpriv(platform: NodeJS.Platform = process.platform): string | null {
  if (platform !== 'linux') return null;
  return ['/usr/bin/setpriv', '/bin/setpriv', '/usr/sbin/setpriv'].find((path) => existsSync(path)) ?? null;
}

/**
 * The argv that is really spawned. The kernel ties the parent-death signal to the thread that forks, so the wrapper is used from the main
 * thread only; elsewhere the child's own watch on its standard input has to do.
 */
export function commandLine(spec: ProcessSpec, launchId: string, setpriv: string | null): readonly [command: string, args: readonly string[]] {
  for (const path of [spec.command, spec.cwd])
    if (!isAbsolute(path)) throw new HearthError('engine_options_invalid', `A process needs absolute paths; '${path}' is not one.`);
  const args = [...spec.args, `--hearth-launch=${launchId}`];
  if (setpriv === null || !isMainThread) return [spec.command, args];
  return [setpriv, ['--pdeathsig', 'KILL', '--', spec.command, ...args]];
}
