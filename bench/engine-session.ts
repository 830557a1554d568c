import { readdir, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ModelFacts } from '../src/core/index.ts';
import type * as Engines from '../src/engines/index.ts';
import { createEmberEngine, type EngineSession, type LoadReport } from '../src/engines/index.ts';
import { createSupervisor } from '../src/supervisor/index.ts';
import { builtPackage } from './built-package.ts';

export const never = new AbortController().signal;

/** What the store would tell of an MLX checkpoint. */
export async function checkpointFacts(directory: string): Promise<ModelFacts> {
  const weightFiles = (await readdir(directory)).filter((file) => file.endsWith('.safetensors'));
  const sizes = await Promise.all(weightFiles.map(async (file) => (await stat(join(directory, file))).size));
  const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>;
  return {
    directory,
    framework: 'MLX',
    architecture: String(config['model_type']),
    config,
    weightFiles,
    weightBytes: sizes.reduce((sum, size) => sum + size, 0),
    hasChatTemplate: false,
  };
}

export interface BenchSession extends AsyncDisposable {
  readonly session: EngineSession;
  readonly report: LoadReport;
  readonly pid: number;
}

type CreateEngine = typeof createEmberEngine;

/** The engine as the published package has it: compiled, since reading TypeScript sources takes a child longer than all else before the weights. */
export async function compiledEngine(): Promise<CreateEngine> {
  const { createEmberEngine: create } = (await import(pathToFileURL(join(builtPackage(), 'dist/engines/index.js')).href)) as typeof Engines;
  return create;
}

/** ember behind its port, in a child process of its own. */
export async function startEngineSession(
  facts: ModelFacts,
  options: Readonly<Record<string, unknown>>,
  createEngine: CreateEngine = createEmberEngine,
): Promise<BenchSession> {
  const engine = createEngine({ convertedDirectory: join(tmpdir(), 'hearth-bench-converted') });
  const supervisor = createSupervisor();
  try {
    const child = await supervisor.start(engine.processSpec(await engine.prepare(facts, () => {}, never), options)!);
    const session = await engine.connect(child.channel, never);
    const report = await session.load(options, () => {}, never);
    const end = async (): Promise<void> => {
      await session.close();
      await supervisor[Symbol.asyncDispose]();
    };
    return { session, report, pid: child.pid, [Symbol.asyncDispose]: end };
  } catch (error) {
    await supervisor[Symbol.asyncDispose]();
    throw error;
  }
}

/** The checkpoint that the command line names. */
export function directoryArgument(): string {
  const directory = process.argv[2];
  if (directory === undefined) throw new Error('name the directory of an MLX checkpoint');
  return directory;
}
