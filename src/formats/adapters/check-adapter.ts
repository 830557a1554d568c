import { HearthError } from '../../core/index.ts';
import type { AdapterModule, AdapterModuleKind, LowRankAdapter, MlxSelection } from './adapter-table.ts';
import { withoutLanguagePrefix } from './adapter-table.ts';

/** A module of the base that an adapter can change: sizes as in AdapterModule. */
export interface BaseModule {
  readonly path: string;
  readonly kind: AdapterModuleKind;
  readonly inputs: number;
  readonly outputs: number;
  readonly experts: number;
}

/**
 * Checks an adapter against the modules of its base (by path) and gives the base's path of each adapter module. Throws `adapter_base_mismatch`
 * where nothing fits, else `adapter_tensor_unknown`, `adapter_shape_mismatch` naming what was found and expected, `adapter_kind_unsupported`.
 */
export function checkAdapter(adapter: LowRankAdapter, base: ReadonlyMap<string, BaseModule>): ReadonlyMap<string, AdapterModule> {
  const byShortPath = new Map([...base.values()].map((module) => [withoutLanguagePrefix(module.path), module]));
  const wrapped = adapter.selection === null ? null : wrappedModules(adapter.selection, [...byShortPath.keys()]);
  const placed = new Map<string, AdapterModule>();
  const faults: HearthError[] = [];
  for (const module of adapter.modules.values()) {
    const own = byShortPath.get(module.path);
    const fault = own === undefined ? unknown(module, 'which the base does not have') : misfit(module, own);
    if (fault) faults.push(fault);
    else if (wrapped && !wrapped.has(module.path)) throw unknown(module, 'but its adapter_config.json (num_layers, keys) leaves that module out');
    else placed.set(own!.path, module);
  }
  if (faults.length === adapter.modules.size && faults.length > 1)
    throw new HearthError('adapter_base_mismatch', `The adapter was made for another base: none of its ${faults.length} modules fits. ${faults[0]!.message}`, {
      cause: faults[0],
    });
  if (faults[0]) throw faults[0];
  const broken = [...placed.values()].find((module) => module.kind === 'experts' && module.m !== null);
  if (broken) throw new HearthError('adapter_kind_unsupported', `${broken.path}: DoRA on expert layers is not defined.`);
  return placed;
}

const unknown = (module: AdapterModule, why: string): HearthError =>
  new HearthError('adapter_tensor_unknown', `The adapter changes ${module.path}, ${why}.`, { details: { module: module.path } });

function misfit(module: AdapterModule, own: BaseModule): HearthError | null {
  const sizes = (of: BaseModule | AdapterModule): number[] => [...(of.kind === 'experts' ? [of.experts] : []), of.outputs, of.inputs];
  const [found, expected] = [sizes(module), sizes(own)];
  if (module.kind === own.kind && found.every((size, i) => size === expected[i])) return null;
  const text = (kind: string, shape: readonly number[]): string => `${kind} [${shape.join(', ')}]`;
  return new HearthError(
    'adapter_shape_mismatch',
    `The adapter takes ${module.path} for ${text(module.kind, found)}, but the base has ${text(own.kind, expected)}.`,
    {
      details: { module: module.path, found, expected },
    },
  );
}

/** Paths that mlx-lm's loader wraps, of all adaptable modules of a model: `keys` count inside each chosen block, and as whole paths. */
export function wrappedModules({ numLayers, keys }: MlxSelection, paths: readonly string[]): ReadonlySet<string> {
  const inBlock = (path: string) => /^(?:.*\.)?layers\.(\d+)\.(.+)$/.exec(path);
  const blocks = Math.max(0, ...paths.map((path) => Number(inBlock(path)?.[1] ?? -1) + 1));
  const first = numLayers > 0 ? Math.max(0, blocks - numLayers) : 0;
  return new Set(
    paths.filter((path) => {
      const [, block, own] = inBlock(path) ?? [];
      const chosen = own !== undefined && Number(block) >= first;
      return keys === null ? chosen : keys.includes(path) || (chosen && keys.includes(own));
    }),
  );
}
