import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HearthError, type HelperPool, type ModelFacts, makePrivateDirectory } from '../../core/index.ts';
import type { ProcessSpec } from '../../supervisor/index.ts';
import { createPrepare } from '../conversion/prepare.ts';
import type { Capabilities, Engine } from '../port.ts';
import { connectWorker, SESSION_LIMITS, type SessionLimits } from '../protocol/session.ts';
import { canRunOnMlx } from './can-run.ts';
import { estimateMlxMemory } from './estimate.ts';
import { MLX_DEFAULTS, type MlxEngineOptions, mlxOptions, parseMlxOptions } from './options.ts';
import { openTextChannel } from './text-channel.ts';

/** A Python environment that holds MLX, ready to be used. */
export interface MlxEnvironment {
  /** Absolute path of its interpreter. */
  readonly python: string;
  /** Directories that the interpreter reads its modules from. */
  readonly readPaths: readonly string[];
  /** Versions of mlx and mlx-lm, for people. */
  readonly version: string;
}

/** Where an environment comes from. */
export interface MlxEnvironmentSource {
  /** The environment in use; null: none is installed. */
  current(): MlxEnvironment | null;
  /** Before each start. Throws engine_tampered where a file is not the one that was installed. */
  verify(environment: MlxEnvironment, signal: AbortSignal): Promise<void>;
}

export interface MlxEngineSettings {
  readonly environments: MlxEnvironmentSource;
  /** Where imported GGUF models are kept: `<home>/converted`, shared with ember. */
  readonly convertedDirectory: string;
  /** Where the workers' view directories are made; `views` beside the converted models when absent. */
  readonly viewDirectory?: string;
  /** Directory whose subdirectories are adapters; absent: none can be loaded. */
  readonly adaptersDirectory?: string;
  /** Where templates are rendered; absent: in a thread of this process. */
  readonly helpers?: HelperPool;
  readonly platform?: { readonly os: string; readonly arch: string };
  readonly limits?: Partial<SessionLimits>;
}

/** Of the worker's program, in a checkout and in the installed package alike. */
export const WORKER_PROGRAM = fileURLToPath(new URL('../../../python/engine_worker.py', import.meta.url));
const FIX = 'Install it with `hearth engines install mlx`.';

/** MLX in a Python process behind the port: one child per model, in a managed environment (docs/spec/engines.md §3). */
export function createMlxEngine(settings: MlxEngineSettings): Engine {
  const { environments } = settings;
  const platform = settings.platform ?? { os: process.platform, arch: process.arch };
  const apple = platform.os === 'darwin' && platform.arch === 'arm64';
  const adaptersDirectory = settings.adaptersDirectory === undefined ? null : resolve(settings.adaptersDirectory);
  const viewRoot = resolve(settings.viewDirectory ?? join(settings.convertedDirectory, 'views'));
  const prepare = createPrepare({ convertedDirectory: settings.convertedDirectory, viewRoot });
  const installed = (): MlxEnvironment => {
    const environment = environments.current();
    if (environment === null) throw new HearthError('dependency_missing', `The engine mlx is not installed. ${FIX}`);
    return environment;
  };
  return {
    id: 'mlx',
    unavailable: () => (environments.current() === null ? `the engine mlx is not installed; \`hearth engines install mlx\` installs it` : null),
    async probe() {
      const environment = environments.current();
      const device = apple ? 'gpu' : 'cpu';
      if (environment === null) return { available: false, version: '', device, devices: [], reason: 'it is not installed', fix: FIX };
      return { available: true, version: environment.version, device, devices: apple ? ['gpu', 'cpu'] : ['cpu'] };
    },
    canRun: (facts, options) => {
      parseMlxOptions(options);
      return canRunOnMlx(facts);
    },
    capabilities: (facts, options) => capabilities(facts, parseMlxOptions(options), adaptersDirectory !== null),
    ...(adaptersDirectory === null ? {} : { adaptersDirectory }),
    growsCache: true,
    estimate: (facts, options) => estimateMlxMemory(facts, parseMlxOptions(options), apple ? 'gpu' : 'cpu'),
    optionsSchema: mlxOptions,
    async prepare(facts, onProgress, signal, options) {
      parseMlxOptions(options);
      await environments.verify(installed(), signal);
      if (adaptersDirectory !== null) await makePrivateDirectory(adaptersDirectory);
      return prepare(facts, onProgress, signal, {});
    },
    processSpec(model, options): ProcessSpec {
      // A limit, not a guess: with room for what a load takes for a while.
      const memory = estimateMlxMemory(model.facts, parseMlxOptions(options), 'gpu');
      const environment = installed();
      const adapters = adaptersDirectory === null ? [] : [adaptersDirectory];
      const readPaths = [model.directory, ...adapters, ...environment.readPaths, resolve(WORKER_PROGRAM, '..')];
      return {
        command: environment.python,
        // Isolated: no variable, no user directory and no working directory adds a module; nothing is written beside the sources.
        args: [
          '-I',
          '-B',
          WORKER_PROGRAM,
          `--model-directory=${model.directory}`,
          ...adapters.map((path) => `--adapters-directory=${path}`),
          ...environment.readPaths.map((path) => `--read-path=${path}`),
        ],
        cwd: model.directory,
        // Compiling on the CPU would start a C++ compiler, which the process may not.
        env: { HF_HUB_OFFLINE: '1', TRANSFORMERS_OFFLINE: '1', ...(apple ? {} : { MLX_DISABLE_COMPILE: '1' }) },
        channel: 'ipc',
        readPaths,
        writePaths: [],
        devices: apple ? 'gpu' : 'none',
        memoryBytes: memory.weightsBytes + memory.kvPoolBytes + memory.computeBytes + memory.processBytes,
        threads: 1,
        startTimeoutMs: 600_000,
        stopGraceMs: 10_000,
      };
    },
    async connect(channel, signal) {
      if (channel instanceof URL) throw new HearthError('not_implemented', 'mlx runs in a process of its own, not behind a URL.');
      return connectWorker(
        openTextChannel(channel, { viewRoot, adaptersDirectory, ...(settings.helpers === undefined ? {} : { helpers: settings.helpers }) }),
        signal,
        { ...SESSION_LIMITS, ...settings.limits },
      );
    },
  };
}

function capabilities({ config, hasChatTemplate }: ModelFacts, options: MlxEngineOptions, adapters: boolean): Capabilities {
  const text = (config['text_config'] ?? {}) as Readonly<Record<string, unknown>>;
  const declared = config['max_position_embeddings'] ?? text['max_position_embeddings'];
  const contextTokens = options.contextTokens ?? MLX_DEFAULTS.contextTokens;
  return {
    // Whether the template has a place for tools, and a reasoning part, is told by the load.
    tools: hasChatTemplate,
    forcedToolChoice: hasChatTemplate,
    jsonSchema: true,
    grammar: true,
    logitBias: true,
    seed: true,
    maxLogprobs: 20,
    maxChoices: 8,
    images: false,
    audio: false,
    embeddings: false,
    rerank: false,
    transcription: false,
    translation: false,
    adaptersPerRequest: adapters,
    batching: true,
    prefixCache: 'exact',
    reasoning: hasChatTemplate,
    contextTokens: typeof declared === 'number' && declared > 0 ? Math.min(declared, contextTokens) : contextTokens,
  };
}
