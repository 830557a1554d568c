import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HearthError, type ModelFacts, makePrivateDirectory, programUrl, readGrants } from '../../core/index.ts';
import { defaultRanks, readCgroupQuotaCpus } from '../../ember/index.ts';
import type { ProcessSpec } from '../../supervisor/index.ts';
import { createPrepare } from '../conversion/prepare.ts';
import type { Capabilities, Engine } from '../port.ts';
import { connectWorker, SESSION_LIMITS, type SessionLimits } from '../protocol/session.ts';
import { canRun } from './can-run.ts';
import { estimateMemory } from './estimate.ts';
import { installPaths } from './install-paths.ts';
import { DEFAULTS } from './worker/defaults.ts';
import { type EmberEngineOptions, emberOptions } from './worker/options.ts';

export interface EmberEngineSettings {
  /** Where imported GGUF models are kept: `<home>/converted`. */
  readonly convertedDirectory: string;
  /** Where the workers' view directories are made; `views` beside the converted models when absent. */
  readonly viewDirectory?: string;
  /** Directory whose subdirectories are adapters, all that sessions can load; absent: none can. Made by `prepare`. */
  readonly adaptersDirectory?: string;
  /** The package's own directory; found by itself when absent. */
  readonly installDirectory?: string;
  /** What the machine grants; asked of the system when absent. */
  readonly processors?: { readonly availableParallelism: number; readonly cgroupQuotaCpus: number | null };
  readonly limits?: Partial<SessionLimits>;
}

const VERSION = '0.1.0';
const PROGRAM = fileURLToPath(programUrl(import.meta.url, './worker/main'));

/** hearth's own engine behind the port: one child process per model (docs/spec/engines.md §2). */
export function createEmberEngine(settings: EmberEngineSettings): Engine {
  const processors = settings.processors ?? { availableParallelism: availableParallelism(), cgroupQuotaCpus: readCgroupQuotaCpus() };
  const ranksOf = (options: EmberEngineOptions): number => defaultRanks({ ...processors, override: options.threads });
  const readable = installPaths(settings.installDirectory);
  const adaptersDirectory = settings.adaptersDirectory === undefined ? undefined : resolve(settings.adaptersDirectory);
  const viewRoot = settings.viewDirectory ?? join(settings.convertedDirectory, 'views');
  const prepare = createPrepare({ convertedDirectory: settings.convertedDirectory, viewRoot });
  return {
    id: 'ember',
    async probe() {
      return { available: true, version: VERSION, device: 'cpu', devices: ['cpu'] };
    },
    canRun: (facts, options) => canRun(facts, parse(options)),
    capabilities: (facts, options) => ({ ...capabilities(facts, parse(options)), adaptersPerRequest: adaptersDirectory !== undefined }),
    estimate(facts, options, companions) {
      const parsed = parse(options);
      return estimateMemory(facts, parsed, ranksOf(parsed), companions?.['draftModel']);
    },
    optionsSchema: emberOptions,
    ...(adaptersDirectory === undefined ? {} : { adaptersDirectory }),
    modelOptions: ['draftModel'],
    async prepare(facts, onProgress, signal, options) {
      // The cage's list of readable places is made at the start: what is not there then stays out of reach.
      if (adaptersDirectory !== undefined) await makePrivateDirectory(adaptersDirectory);
      return prepare(facts, onProgress, signal, parse(options));
    },
    processSpec(model, options, companions): ProcessSpec {
      const parsed = parse(options);
      const ranks = ranksOf(parsed);
      const memory = estimateMemory(model.facts, parsed, ranks, companions?.['draftModel']);
      const adapters = adaptersDirectory === undefined ? [] : [adaptersDirectory];
      const readPaths = [model.directory, ...draftPaths(parsed, viewRoot), ...adapters, ...readable];
      return {
        command: process.execPath,
        args: [
          '--permission',
          '--allow-worker',
          '--disable-warning=SecurityWarning',
          ...readGrants(readPaths),
          PROGRAM,
          `--model-directory=${model.directory}`,
          `--ranks=${ranks}`,
          ...adapters.map((path) => `--adapters-directory=${path}`),
        ],
        cwd: model.directory,
        // It asks no hub anyway; whatever it may load one day is told so too.
        env: { HF_HUB_OFFLINE: '1' },
        channel: 'ipc',
        readPaths,
        writePaths: [],
        devices: 'none',
        memoryBytes: memory.weightsBytes + memory.kvPoolBytes + memory.computeBytes + memory.processBytes,
        threads: ranks + 1,
        startTimeoutMs: 600_000,
        stopGraceMs: 10_000,
      };
    },
    async connect(channel, signal) {
      if (channel instanceof URL) throw new HearthError('not_implemented', 'ember runs in a process of its own, not behind a URL.');
      const session = await connectWorker(channel, signal, { ...SESSION_LIMITS, ...settings.limits });
      // The child takes what it is sent: it is checked here.
      return { ...session, load: async (options, onProgress, loadSignal) => session.load(parse(options), onProgress, loadSignal) };
    },
  };
}

/** A draft model is read by the same child, so it is a view that `prepare` made, and no other place. */
function draftPaths({ draftModel }: EmberEngineOptions, viewRoot: string): readonly string[] {
  if (draftModel === undefined) return [];
  if (dirname(resolve(draftModel)) === resolve(viewRoot)) return [resolve(draftModel)];
  throw new HearthError('engine_options_invalid', 'draftModel: not a model that this engine has prepared.', { details: { options: ['draftModel'] } });
}

/** Throws engine_options_invalid naming the option. */
function parse(options: unknown): EmberEngineOptions {
  const result = emberOptions.safeParse(options ?? {});
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const names = issue.code === 'unrecognized_keys' ? issue.keys : [issue.path.join('.') || 'options'];
    return `${names.join(', ')}: ${issue.code === 'unrecognized_keys' ? 'no such option' : issue.message}`;
  });
  throw new HearthError('engine_options_invalid', `The engine ember was given options that it does not take: ${problems.join('; ')}.`, {
    details: { options: result.error.issues.flatMap((issue) => (issue.code === 'unrecognized_keys' ? issue.keys : [issue.path.join('.')])) },
  });
}

function capabilities(facts: ModelFacts, options: EmberEngineOptions): Capabilities {
  const declared = facts.config['max_position_embeddings'];
  const contextTokens = options.contextTokens ?? DEFAULTS.contextTokens;
  return {
    // Whether the template has a place for tools, and a reasoning part, is told by the load.
    tools: facts.hasChatTemplate,
    forcedToolChoice: facts.hasChatTemplate,
    jsonSchema: true,
    grammar: true,
    logitBias: true,
    seed: true,
    maxLogprobs: 20,
    maxChoices: 8,
    images: false,
    audio: false,
    embeddings: true,
    rerank: true,
    transcription: false,
    translation: false,
    adaptersPerRequest: false,
    batching: true,
    prefixCache: 'exact',
    reasoning: facts.hasChatTemplate,
    contextTokens: typeof declared === 'number' && declared > 0 ? Math.min(declared, contextTokens) : contextTokens,
  };
}
