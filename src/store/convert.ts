import type { ConvertData } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import type { QuantiseBits } from '../formats/index.ts';
import { exportToGguf, importFromGguf } from './convert/gguf.ts';
import { quantiseModel } from './convert/quantise.ts';
import { repairDefects, repairIndex } from './convert/repair.ts';
import { toStoreError } from './file-errors.ts';
import { judge } from './judge.ts';
import type { StoreOptions } from './options.ts';
import { readSentinel } from './workspace/sentinel.ts';
import { isInCache, requireFreeTarget, workspacePath } from './workspace/targets.ts';

export interface ConvertParameters {
  /** Name in the workspace home, or a path: a workspace, or with `to: 'mlx'` a GGUF file. */
  readonly source: string;
  /** What is made: must not be there. */
  readonly target: string;
  /** Base of relative paths; the store's own when absent. */
  readonly workingDirectory?: string;
  /** Exactly one of the five modes. */
  readonly repairIndex?: boolean;
  readonly repair?: boolean;
  readonly quantize?: QuantiseBits;
  readonly to?: 'gguf' | 'mlx';
  /** With `quantize`; 64. */
  readonly groupSize?: 32 | 64 | 128;
  /** With `to`: no type that changes a number. */
  readonly exact?: boolean;
  /** With `to`: how much of what was written is compared with the source; `sample`. */
  readonly verify?: 'sample' | 'full';
  readonly skipHealth?: boolean;
  readonly onProgress?: (progress: ConvertProgress) => void;
  readonly onNotice?: (message: string) => void;
  readonly signal?: AbortSignal;
}

export interface ConvertProgress {
  readonly step: 'copy' | 'convert' | 'verify';
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** What every mode works with. */
export interface ConvertJob {
  readonly options: StoreOptions;
  /** Absolute. */
  readonly source: string;
  readonly target: string;
  readonly parameters: ConvertParameters;
  readonly signal: AbortSignal;
  /** Of the source's sentinel; null where it has none. */
  readonly origin: { readonly source_repo: string | null; readonly source_revision: string | null };
}

/** `target` null: nothing had to be made. */
export type ConvertOutcome = Partial<ConvertData> & { readonly made: boolean };

/**
 * Makes a changed copy of a workspace (docs/spec/store.md §9): index rebuilt, defects repaired, weights quantised, or another format. The
 * source is only read; the target appears when it is complete.
 * Errors: invalid_argument, invalid_target, workspace_not_found, unsupported_multimodal, not_implemented, dependency_missing,
 * conversion_failed, converted_unhealthy, insufficient_space, cancelled and the codes of the parsers.
 */
export async function convert(given: StoreOptions, parameters: ConvertParameters): Promise<ConvertData> {
  const options = parameters.workingDirectory === undefined ? given : { ...given, workingDirectory: parameters.workingDirectory };
  const signal = parameters.signal ?? new AbortController().signal;
  const state: { -readonly [K in keyof ConvertData]: ConvertData[K] } = {
    source: workspacePath(options, parameters.source),
    target: workspacePath(options, parameters.target),
    mode: parameters.repairIndex === true || parameters.repair === true ? 'repair-index' : 'quantize',
    health_check: parameters.skipHealth !== true,
    health_status: null,
    health_reason: null,
    warning: null,
    bits: null,
    group_size: null,
    content_hash: null,
  };
  try {
    const mode = modeOf(parameters);
    await checkPlaces(options, state, parameters);
    const sentinel = await readSentinel(state.source);
    const text = (key: string): string | null => (typeof sentinel?.[key] === 'string' ? sentinel[key] : null);
    const origin = { source_repo: text('source_repo'), source_revision: text('source_revision') };
    const { made, ...outcome } = await mode({ options, source: state.source, target: state.target, parameters, signal, origin });
    Object.assign(state, outcome);
    if (made && parameters.skipHealth !== true) await checkMade(options, state);
    return state;
  } catch (error) {
    if (signal.aborted)
      throw new HearthError('cancelled', 'The conversion was stopped; nothing is left of it.', { cause: error, details: { data: { ...state } } });
    const known = toStoreError(error, 'conversion_failed', state.target);
    const { data: _, ...details } = known.details;
    throw new HearthError(known.code, known.message, { cause: known, details: { ...details, data: { ...state } } });
  }
}

type Mode = (job: ConvertJob) => Promise<ConvertOutcome>;

const MODES = '--repair-index, --repair, --quantize, --to gguf, --to mlx';

/** Errors: invalid_argument, unless exactly one mode is asked for, and nothing that another mode needs. */
function modeOf(parameters: ConvertParameters): Mode {
  const { repairIndex: index, repair, quantize, to } = parameters;
  const wanted = [index === true, repair === true, quantize !== undefined, to !== undefined].filter(Boolean).length;
  if (wanted !== 1)
    throw new HearthError('invalid_argument', `${wanted === 0 ? 'Say what is to be done' : 'Only one thing can be done at once'}: one of ${MODES}.`);
  if (parameters.groupSize !== undefined && quantize === undefined) throw new HearthError('invalid_argument', '--q-group-size goes with --quantize.');
  if (to === undefined && (parameters.exact === true || parameters.verify !== undefined))
    throw new HearthError('invalid_argument', '--exact and --verify go with --to.');
  if (to === 'mlx' && parameters.exact === true) throw new HearthError('invalid_argument', '--exact goes with --to gguf.');
  if (index === true) return repairIndex;
  if (repair === true) return repairDefects;
  if (quantize !== undefined) return quantiseModel;
  return to === 'gguf' ? exportToGguf : importFromGguf;
}

async function checkPlaces(options: StoreOptions, { source, target }: ConvertData, parameters: ConvertParameters): Promise<void> {
  for (const [path, what] of [
    [source, 'source'],
    [target, 'target'],
  ] as const) {
    if (await isInCache(options, path))
      throw new HearthError(
        'invalid_target',
        `The ${what} ${path} lies in a model cache, which is only read. \`hearth clone\` makes a workspace that can be converted.`,
      );
  }
  await requireFreeTarget(target, { emptyAllowed: parameters.repairIndex === true || parameters.repair === true });
  if (`${target}/`.startsWith(`${source}/`)) throw new HearthError('invalid_target', `The target ${target} lies in the source, which must not change.`);
}

/** Files stay: the user may want to see what is wrong with them. Errors: converted_unhealthy. */
async function checkMade(options: StoreOptions, state: { -readonly [K in keyof ConvertData]: ConvertData[K] }): Promise<void> {
  const file = state.target.endsWith('.gguf');
  const directory = file ? state.target.slice(0, state.target.lastIndexOf('/')) : state.target;
  const { health } = await judge(options, {
    kind: 'workspace',
    name: state.target,
    directory,
    file: file ? state.target.slice(directory.length + 1) : null,
    variant: null,
  });
  state.health_status = health.healthy ? 'healthy' : 'unhealthy';
  state.health_reason = health.healthy ? null : health.reason;
  if (!health.healthy) throw new HearthError('converted_unhealthy', `${state.target} was made, but it is not healthy: ${health.reason}.`);
}
