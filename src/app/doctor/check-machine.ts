import { lstatSync, readdirSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Config, readHubEnvironment } from '../../config/index.ts';
import { memoryTotalBytes } from '../../hardware/index.ts';
import { resolvePlaces, storePlaces } from '../create-hearth-store.ts';
import { socketPath } from '../daemon/socket-path.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const GIB = 2 ** 30;
const NO_ROOM_BYTES = 256 * 2 ** 20;
const LITTLE_ROOM_BYTES = 5 * GIB;
/** Below this only the smallest models fit beside the system. */
const LITTLE_MEMORY_BYTES = 4 * GIB;
const MANY_LOGS_BYTES = 2 * GIB;

export interface MachineQuestion {
  readonly home: string;
  readonly config: Config;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly userHome: string;
  readonly cwd: string;
}

/** Room on the disks of home and models, memory, the volume of logs. */
export async function checkMachine({ home, config, env, userHome, cwd }: MachineQuestion): Promise<readonly Finding[]> {
  const { cacheDirectory } = resolvePlaces(storePlaces(config, readHubEnvironment(env, userHome), userHome), cwd);
  const memory = await memoryTotalBytes();
  return [
    room('disk-home', 'home', home),
    room('disk-models', 'models', cacheDirectory),
    memory >= LITTLE_MEMORY_BYTES
      ? ok('memory', `${gib(memory)} of memory.`)
      : warn('memory', `Only ${gib(memory)} of memory: small models fit, larger ones do not.`, 'Choose models of at most a third of it: `hearth catalog`.'),
    logs(home),
  ];
}

/** Of the nearest directory that is there: the rest is made when it is needed. */
function room(id: string, of: string, path: string): Finding {
  let at = path;
  while (lstatSync(at, { throwIfNoEntry: false }) === undefined && dirname(at) !== at) at = dirname(at);
  try {
    const { bavail, bsize } = statfsSync(at);
    const free = bavail * bsize;
    const said = `${gib(free)} free for ${of} (${path}).`;
    if (free < NO_ROOM_BYTES) return fail(id, said, 'Free some space: `hearth rm MODEL` removes a model, `hearth list` shows their sizes.');
    return free < LITTLE_ROOM_BYTES
      ? warn(id, said, 'A model of some billion parameters needs more: `hearth list` shows what takes how much, `hearth rm MODEL` removes one.')
      : ok(id, said);
  } catch (error) {
    return fail(id, `The room for ${of} (${path}) cannot be told: ${(error as Error).message}.`, 'See that the directory is there and can be read.');
  }
}

function logs(home: string): Finding {
  const bytes = ['logs', 'audit', 'captures'].reduce((sum, name) => sum + bytesIn(join(home, name)), 0);
  const said = `Logs take ${bytes < GIB / 10 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : gib(bytes)}.`;
  return bytes < MANY_LOGS_BYTES ? ok('logs', said) : warn('logs', said, '`hearth config set logs.maxFiles 2` keeps fewer; the event log keeps its own bound.');
}

function bytesIn(directory: string): number {
  if (lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return 0;
  return readdirSync(directory).reduce((sum, name) => sum + (lstatSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

/** Whether a socket is left of a daemon that does not answer any more. */
export const hasStaleSocket = (home: string, env: MachineQuestion['env']): boolean =>
  lstatSync(socketPath(home, env), { throwIfNoEntry: false })?.isSocket() === true;

const gib = (bytes: number): string => `${(bytes / GIB).toFixed(1)} GiB`;
