import { rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError, makePrivateDirectory, writeFileAtomic } from '../../../core/index.ts';
import type { Command, CommandResult } from '../../../supervisor/index.ts';
import { findTampering, hashFiles } from './integrity.ts';
import type { Interpreter } from './interpreter.ts';
import type { EnvironmentLock } from './lock.ts';

/** What is known of an environment that is whole. */
export interface InstalledRecord {
  readonly lock: string;
  readonly python: string;
  readonly basePrefix: string;
  readonly packages: Readonly<Record<string, string>>;
  readonly installedAt: string;
}

export interface InstallOptions {
  /** Absolute path of the new environment. */
  readonly directory: string;
  readonly lock: EnvironmentLock;
  readonly interpreter: Interpreter;
  /** Folder of wheels; null: the package index that pip is set up for. */
  readonly offline: string | null;
  /** Environment of pip, for its index and proxies. */
  readonly env: Readonly<Record<string, string>>;
  readonly run: (command: Command) => Promise<CommandResult>;
  readonly onStep: (step: number, steps: number, message: string) => void;
  readonly signal: AbortSignal;
}

const SILENCE_MS = 300_000;
/** Wheels, what is unpacked of them, and a fifth more. */
const ROOM_BYTES = 2 * 1024 ** 3;
const STEPS = 5;

/** Makes an environment where nothing or a half one is; `complete.json` is written last. Throws engine_install_failed, disk_full and the like. */
export async function installEnvironment(options: InstallOptions): Promise<InstalledRecord> {
  const { directory, lock, interpreter, run, signal, onStep } = options;
  const tools = `${directory}.tools`;
  const python = join(directory, 'bin', 'python');
  const call = async (doing: string, command: string, args: readonly string[], onLine?: (line: string) => void): Promise<CommandResult> => {
    const result = await run({ command, args, cwd: '/', env: options.env, silenceMs: SILENCE_MS, signal, ...(onLine === undefined ? {} : { onLine }) });
    if (result.code !== 0) throw failure(doing, result, options);
    return result;
  };
  await rm(directory, { recursive: true, force: true });
  await rm(tools, { recursive: true, force: true });
  await makePrivateDirectory(directory);
  await requireRoom(directory);
  try {
    onStep(1, STEPS, `making the environment with Python ${interpreter.version} (${interpreter.path})`);
    await call('the environment could not be made', interpreter.path, ['-I', '-m', 'venv', '--without-pip', directory]);
    // pip stays outside: what the environment holds is what the lock names.
    await call('pip could not be set up', interpreter.path, ['-I', '-m', 'venv', tools]);
    onStep(2, STEPS, `installing ${lock.packages.length} packages`);
    const from = options.offline === null ? [] : ['--no-index', '--find-links', options.offline];
    const pip = ['-I', '-m', 'pip', '--python', python, 'install', '--no-input', '--disable-pip-version-check', '--require-hashes', '--no-deps'];
    await call(
      'the packages could not be installed',
      join(tools, 'bin', 'python'),
      [...pip, '--only-binary', ':all:', '--progress-bar', 'off', ...from, '--requirement', lock.path],
      (line) => {
        const found = /^(?:Collecting|Downloading|Installing collected packages) ?(\S*)/.exec(line.trim());
        if (found !== null) onStep(2, STEPS, line.trim().slice(0, 120));
      },
    );
    onStep(3, STEPS, 'checking every file');
    const manifest = await hashFiles(directory, signal);
    const problems = await findTampering(directory, manifest, null);
    if (problems.length > 0)
      throw new HearthError('engine_install_failed', `What was installed is not what its packages list: ${problems.slice(0, 3).join('; ')}.`);
    onStep(4, STEPS, 'importing mlx and mlx-lm');
    const packages = await installedVersions(call, python, lock);
    onStep(5, STEPS, 'done');
    await writeFileAtomic(join(directory, 'manifest.json'), JSON.stringify(manifest));
    const record: InstalledRecord = {
      lock: lock.id,
      python: interpreter.version,
      basePrefix: interpreter.basePrefix,
      packages,
      installedAt: new Date().toISOString(),
    };
    await writeFileAtomic(join(directory, 'complete.json'), JSON.stringify(record));
    return record;
  } finally {
    await rm(tools, { recursive: true, force: true });
  }
}

const VERSIONS =
  'import importlib, importlib.metadata as m, json, sys; ' +
  '[importlib.import_module(n) for n in sys.argv[1].split(",")]; ' +
  'print(json.dumps({d.metadata["Name"].lower().replace("_", "-"): d.version for d in m.distributions()}))';

/** Imports what the worker imports, and compares what is there with the lock. */
async function installedVersions(
  call: (doing: string, command: string, args: readonly string[]) => Promise<CommandResult>,
  python: string,
  lock: EnvironmentLock,
): Promise<Readonly<Record<string, string>>> {
  const { stdout } = await call('mlx could not be imported', python, ['-I', '-B', '-c', VERSIONS, 'mlx.core,mlx_lm']);
  const there = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Record<string, string>;
  const wanted = Object.fromEntries(lock.packages.map(({ name, version }) => [name.replaceAll('_', '-'), version]));
  const differing = [...new Set([...Object.keys(there), ...Object.keys(wanted)])].filter((name) => there[name] !== wanted[name]);
  if (differing.length > 0)
    throw new HearthError('engine_install_failed', `The environment does not hold what its lock names: ${differing.slice(0, 5).join(', ')}.`);
  return there;
}

async function requireRoom(directory: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize;
  if (free >= ROOM_BYTES) return;
  const gib = (bytes: number): string => (bytes / 1024 ** 3).toFixed(1);
  throw new HearthError('insufficient_space', `The environment needs ${gib(ROOM_BYTES)} GiB; ${gib(free)} GiB are free at ${directory}.`);
}

/** What pip and Python say, as a sentence with a way out. */
function failure(doing: string, { lastLines, code }: CommandResult, { offline, interpreter }: InstallOptions): HearthError {
  const text = lastLines.join('\n');
  const hint = /ensurepip is not|No module named (venv|ensurepip)/.test(text)
    ? ` ${interpreter.path} lacks the module venv; on Debian and Ubuntu the package python${interpreter.version}-venv has it.`
    : /do not match the hashes|HASH/.test(text)
      ? ' A package is not the one that this version of hearth was locked with; nothing of it was installed.'
      : /No matching distribution|Could not find a version/.test(text)
        ? offline === null
          ? ' The package index does not have it, or cannot be reached.'
          : ` ${offline} does not hold it.`
        : /NameResolution|Network is unreachable|ConnectTimeout|Connection refused|getaddrinfo|Failed to establish/.test(text)
          ? ' The package index cannot be reached; with `--offline DIR` the packages are taken from a folder.'
          : '';
  const last = lastLines.findLast((line) => /error|not /i.test(line)) ?? lastLines.at(-1) ?? `code ${code}`;
  return new HearthError('engine_install_failed', `${doing[0]!.toUpperCase()}${doing.slice(1)}: ${last.trim().slice(0, 300)}.${hint}`);
}
