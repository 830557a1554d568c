import { HearthError } from '../../core/index.ts';
import type { AdapterModule, LowRankAdapter } from './adapter-table.ts';

/** The module with another scale and the same product: what a format without a scale per module can hold. */
export function withScale(module: AdapterModule, scale: number): AdapterModule {
  if (module.scale === scale) return module;
  const factor = module.scale / scale;
  return { ...module, scale, b: module.b.map((x) => x * factor) };
}

/** The scale of most bytes, never 0, which no factor could undo. */
export function commonScale(adapter: LowRankAdapter, scaleOf: (module: AdapterModule) => number = (module) => module.scale): number {
  const counts = new Map<number, number>();
  for (const module of adapter.modules.values()) {
    const scale = scaleOf(module);
    if (scale !== 0) counts.set(scale, (counts.get(scale) ?? 0) + module.b.length);
  }
  return [...counts].toSorted(([, x], [, y]) => y - x)[0]?.[0] ?? 1;
}

export const unsupported = (why: string): HearthError => new HearthError('adapter_kind_unsupported', `The adapter cannot be written: ${why}.`);
