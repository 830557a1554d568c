import { join } from 'node:path';
import { type GenerateRequest, GREEDY_SAMPLING } from '../contract/index.ts';
import { HearthError, isHearthError, systemError } from '../core/index.ts';
import type { Capabilities, Engine, EngineSession, LoadReport, PreparedModel } from '../engines/index.ts';
import type { Admission, ModelTrust } from '../security/index.ts';
import type { ProcessSpec, SupervisedProcess, Supervisor } from '../supervisor/index.ts';
import { type AdapterLeases, createAdapterLeases } from './adapter-leases.ts';
import { withAdmission } from './admitted-adapters.ts';
import { createAdmittedModels } from './admitted-models.ts';
import { type CompanionModels, factsOf } from './companions.ts';
import type { ResolvedModel } from './model-source.ts';

/** A model whose child has answered a one-token generation. */
export interface LoadedModel {
  readonly model: ResolvedModel;
  readonly engineId: string;
  readonly capabilities: Capabilities;
  readonly session: EngineSession;
  readonly adapters: AdapterLeases;
  readonly process: SupervisedProcess;
  readonly report: LoadReport;
  readonly loadedAtMs: number;
  /** Of the model itself; null where nobody judges models. */
  readonly admission: Admission | null;
}

export interface LoadOrder {
  readonly model: ResolvedModel;
  readonly engine: Engine;
  readonly engineOptions: Readonly<Record<string, unknown>>;
  /** Loaded in the same process, each by the option that names it. */
  readonly companions: CompanionModels;
  /** What all of its adapters take has changed. */
  readonly onAdapterBytes: (bytes: number) => void;
  readonly supervisor: Supervisor;
  /** Judges the files before an engine sees them; absent: nothing is judged. */
  readonly trust?: ModelTrust | undefined;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
}

/** An engine gets local files only; one that runs a workspace has that workspace's own hub cache, whatever the user's is. */
function isolated(spec: ProcessSpec, { workspace }: ResolvedModel): ProcessSpec {
  const env = { ...spec.env, HF_HUB_OFFLINE: '1' };
  if (workspace === undefined) return { ...spec, env };
  const cache = join(workspace, '.hf_cache');
  return { ...spec, env: { ...env, HF_HOME: cache }, readPaths: [...spec.readPaths, cache] };
}

/**
 * prepare, spawn, connect, load, one-token generation (docs/spec/engines.md §1.5). Any failure ends the child and throws
 * the worker's own reason: `model_load_failed`, or the code that the engine threw.
 */
export async function loadModel(order: LoadOrder): Promise<LoadedModel> {
  const { model, engine, companions, supervisor, signal } = order;
  const engineOptions = { ...order.engineOptions };
  let child: SupervisedProcess | undefined;
  let prepared: PreparedModel | undefined;
  const admitted = createAdmittedModels(order.trust, signal);
  try {
    supervisor.warm?.();
    prepared = await admitted.prepare(model, (facts) => engine.prepare(facts, order.onProgress, signal, engineOptions));
    for (const [option, companion] of Object.entries(companions))
      engineOptions[option] = (await admitted.prepare(companion, (facts) => engine.prepare(facts, order.onProgress, signal, order.engineOptions))).directory;
    const spec = engine.processSpec(prepared, engineOptions, factsOf(companions));
    if (!spec) throw new HearthError('not_implemented', `The engine ${engine.id} has no process, which this version cannot serve yet.`);
    child = await supervisor.start(isolated({ ...spec, readPaths: [...spec.readPaths, ...admitted.readPaths] }, model));
    const session = await engine.connect(child.channel, signal);
    const report = await session.load(engineOptions, order.onProgress, signal);
    await probe(session, engine.canRun(model.facts).text.ok, signal);
    await admitted.recheck();
    const { tools, reasoning, contextTokens } = report;
    const capabilities = {
      ...engine.capabilities(model.facts, engineOptions),
      contextTokens,
      ...(tools === undefined ? {} : { tools, forcedToolChoice: tools }),
      ...(reasoning === undefined ? {} : { reasoning }),
    };
    return {
      model,
      engineId: engine.id,
      capabilities,
      session,
      adapters: createAdapterLeases(withAdmission(session.adapters, order.trust, engine.adaptersDirectory), order.onAdapterBytes),
      process: child,
      report,
      loadedAtMs: Date.now(),
      admission: admitted.main,
    };
  } catch (error) {
    admitted.release();
    if (child) {
      child.kill();
      await child.stop().catch(() => {});
    }
    if (signal.aborted) throw isHearthError(signal.reason) ? signal.reason : new HearthError('cancelled', 'The load was cancelled.', { cause: error });
    const told = withSourceNames(await loadError(model.id, error, child), prepared);
    throw withSourceNames(told, { directory: admitted.main?.viewDirectory, sourceDirectory: model.facts.directory });
  }
}

/** Ready means that a generation succeeded, or for a model without text an embedding; not that a process answers. */
async function probe(session: EngineSession, givesText: boolean, signal: AbortSignal): Promise<void> {
  if (!givesText) return void (await session.embed(['Hello'], { signal }));
  const request: GenerateRequest = {
    requestId: 'probe',
    prompt: 'Hello',
    maxTokens: 1,
    stop: [],
    choices: 1,
    sampling: GREEDY_SAMPLING,
  };
  let finished = false;
  for await (const event of session.generate(request, signal)) {
    if (event.kind === 'error') throw new HearthError('model_load_failed', `The first token failed: ${event.message}`);
    finished ||= event.kind === 'finish';
  }
  if (!finished) throw new HearthError('model_load_failed', 'The engine gave no first token.');
}

/** The child sees the model in a directory of its own; its user knows the files under their real place. */
function withSourceNames(
  error: HearthError,
  names: { readonly directory?: string | undefined; readonly sourceDirectory?: string | undefined } = {},
): HearthError {
  const { directory, sourceDirectory } = names;
  if (directory === undefined || sourceDirectory === undefined || !error.message.includes(directory)) return error;
  return new HearthError(error.code, error.message.replaceAll(directory, sourceDirectory), { cause: error.cause, details: error.details });
}

async function loadError(id: string, error: unknown, child: SupervisedProcess | undefined): Promise<HearthError> {
  const reason = error instanceof Error ? error.message : String(error);
  // Codes that say what is wrong with the files or the options stay; what the process did becomes model_load_failed.
  if (isHearthError(error) && !['internal_error', 'engine_crashed', 'engine_protocol', 'cancelled'].includes(error.code)) return error;
  // The home has no room, or may not be written: nothing is wrong with the model.
  const said = child ? null : systemError(error);
  if (said) return said;
  const exit = child ? await Promise.race([child.channel.exited, new Promise<null>((resolve) => setTimeout(resolve, 1000, null).unref())]) : null;
  const lines = exit?.lastLines.filter((line) => line.trim() !== '').slice(-20) ?? [];
  return new HearthError('model_load_failed', `${id} could not be loaded: ${reason}`, { cause: error, details: lines.length > 0 ? { lastLines: lines } : {} });
}
