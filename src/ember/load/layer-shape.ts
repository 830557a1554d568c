import type { Kernels, KvTypeCode } from '../kernel-interface.ts';
import type { Linear } from '../models/model-graph.ts';
import type { PageGroup } from '../types.ts';
import { cutUnit } from './matrix-source.ts';
import type { GraphSources } from './rank-layout.ts';
import type { Range } from './split.ts';

/** What the layers of a graph are laid out with. */
export interface LayerShape {
  readonly sources: GraphSources;
  readonly ranks: number;
  readonly kvType: KvTypeCode;
  readonly pageGroups: readonly PageGroup[];
  readonly sizes: Pick<Kernels, 'pageBytes'>;
}

/** Columns that a row-parallel matrix may be cut at. */
export const unitOf = ({ sources }: LayerShape, linear: Linear): number => cutUnit(sources.matrices.get(linear.path)!);
/** A range of units as one of values. */
export const times = (range: Range, factor: number): Range => ({ first: range.first * factor, count: range.count * factor });
/** How many ranks have a share. */
export const sharing = (counts: readonly number[]): number => counts.filter((count) => count > 0).length;
