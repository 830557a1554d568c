import { setImmediate as turn } from 'node:timers/promises';
import { HearthError } from '../../core/index.ts';
import { type Adapter, checkAdapter } from '../../formats/index.ts';
import { type LoadPlan, RANK_ROOM_BYTES } from '../load/plan-load.ts';
import type { MatrixPlacement } from '../load/rank-plan.ts';
import type { RankGroup } from '../ranks/rank-group.ts';
import { cutAdapter, type RankAdapter } from './adapter-plan.ts';
import { createArena } from './arena.ts';
import { baseModules } from './base-modules.ts';

export interface ResidentAdapters {
  /** Resolves when steps can use the slot. Throws `adapter_*`, `insufficient_memory`; a refused adapter leaves nothing behind. */
  load(slot: number, adapter: Adapter): Promise<void>;
  /** The caller sees to it that no later step uses the slot. */
  drop(slot: number): Promise<void>;
  has(slot: number): boolean;
  /** Memory of all adapters over all ranks. */
  readonly bytes: number;
}

export interface ResidentAdapterOptions {
  readonly plan: LoadPlan;
  readonly batchTokens: number;
  readonly group: RankGroup;
  /** Commands to the ranks run one at a time, between steps. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
}

/** Slots are numbers below this. */
export const MAX_ADAPTER_SLOTS = 256;
/** Multiplications of one piece of a measurement, between two steps. */
const MEASURE_WORK = 8_000_000;

/** Adapters beside the base: cut for each rank here, held by the ranks behind everything that the load placed there. */
export function createResidentAdapters({ plan, batchTokens, group, inTurn }: ResidentAdapterOptions): ResidentAdapters {
  const base = baseModules(plan.graph);
  const arenas = plan.ranks.map((rank) => createArena(rank.memoryBytes));
  /** Blocks by slot, one per rank; a slot that is being loaded has null. */
  const blocks = new Map<number, readonly number[] | null>();
  const everyRank = <T>(of: (rank: number) => T): T[] => plan.ranks.map(({ rank }) => of(rank));

  async function load(slot: number, adapter: Adapter): Promise<void> {
    if (!(Number.isInteger(slot) && slot >= 0 && slot < MAX_ADAPTER_SLOTS) || blocks.has(slot))
      throw new HearthError('invalid_value', `Slot ${slot} cannot take an adapter.`);
    if (adapter.kind === 'full')
      throw new HearthError('adapter_kind_unsupported', 'This is a full fine-tune: its weights replace those of the base, so it is a model of its own.');
    const modules = checkAdapter(adapter, base);
    blocks.set(slot, null);
    const taken: number[] = [];
    try {
      const cut: RankAdapter[] = [];
      for (const rank of plan.ranks) cut.push(await cutAdapter(rank, modules, batchTokens, turn));
      for (const [rank, { blockBytes }] of cut.entries()) taken.push(arenas[rank]!.take(blockBytes));
      if (cut.some(({ blockBytes }, rank) => taken[rank]! + blockBytes > RANK_ROOM_BYTES)) throw noRoom('a compute thread holds at most 4 GiB');
      await inTurn(() =>
        group.ask(
          everyRank((rank) => ({
            rank,
            question: { kind: 'adapter-load', slot, block: taken[rank]!, adapter: cut[rank]! },
            transfer: [cut[rank]!.values.buffer],
          })),
        ),
      ).catch((error: Error) => {
        throw error instanceof HearthError ? error : noRoom(error.message);
      });
      await measure(slot, cut);
      blocks.set(slot, taken);
    } catch (error) {
      blocks.delete(slot);
      await drop(slot).catch(() => {});
      for (const [rank, block] of taken.entries()) arenas[rank]!.free(block);
      throw error;
    }
  }

  /** DoRA needs the length of every row of the changed weights: measured in small pieces, on all ranks at once, with steps in between. */
  async function measure(slot: number, cut: readonly RankAdapter[]): Promise<void> {
    const measured = cut.flatMap(({ placements }, rank) =>
      placements.flatMap(({ dora, matrix }, placement) => (dora === null ? [] : [{ rank, placement, matrix, dora, norms: new Float32Array(matrix.rows * 3) }])),
    );
    const pieces = cut.map(({ placements }, rank) =>
      measured.filter((own) => own.rank === rank).flatMap((own) => piecesOf(own, placements[own.placement]!.rank)),
    );
    for (let i = 0; i < Math.max(...pieces.map((list) => list.length)); i++) {
      const now = pieces.flatMap((list) => list.slice(i, i + 1));
      const questions = now.map(({ of: { rank, placement }, first, rows }) => ({
        rank,
        question: { kind: 'adapter-measure', slot, placement, first, rows } as const,
      }));
      const answers = await inTurn(() => group.ask(questions));
      for (const [n, { of, first }] of now.entries()) of.norms.set(new Float32Array(answers[n]!.buffer), first * 3);
    }
    // Ranks that hold some columns of the same rows: squares and products add up.
    const partial = Map.groupBy(
      measured.filter(({ dora }) => !dora.wholeRows),
      ({ matrix }) => `${matrix.path} ${matrix.firstRow}`,
    );
    for (const parts of partial.values()) {
      const total = new Float32Array(parts[0]!.norms.length);
      for (const { norms } of parts) for (let i = 0; i < total.length; i++) total[i] = total[i]! + norms[i]!;
      for (const { norms } of parts) norms.set(total);
    }
    if (measured.length > 0) await setNorms(slot, measured);
  }

  const setNorms = (slot: number, parts: readonly Measured[]) =>
    inTurn(() => group.ask(parts.map(({ rank, placement, norms }) => ({ rank, question: { kind: 'adapter-norms', slot, placement, norms } }))));

  async function drop(slot: number): Promise<void> {
    const own = blocks.get(slot);
    if (own === null) throw new HearthError('invalid_value', `Slot ${slot} is being loaded.`);
    blocks.delete(slot);
    await inTurn(() => group.ask(everyRank((rank) => ({ rank, question: { kind: 'adapter-drop', slot } }))));
    for (const [rank, block] of own?.entries() ?? []) arenas[rank]!.free(block);
  }

  return {
    load,
    drop,
    has: (slot) => (blocks.get(slot) ?? null) !== null,
    get bytes() {
      return arenas.reduce((sum, arena) => sum + arena.usedBytes, 0);
    },
  };
}

interface Measured {
  readonly rank: number;
  readonly placement: number;
  readonly matrix: MatrixPlacement;
  readonly norms: Float32Array;
}

/** Rows of a matrix whose measurement takes some milliseconds. */
function piecesOf(of: Measured, width: number): { readonly of: Measured; readonly first: number; readonly rows: number }[] {
  const { rows, columns } = of.matrix;
  const step = Math.max(1, Math.floor(MEASURE_WORK / (columns * (width + 3))));
  return Array.from({ length: Math.ceil(rows / step) }, (_, i) => ({ of, first: i * step, rows: Math.min(step, rows - i * step) }));
}

const noRoom = (why: string): HearthError => new HearthError('insufficient_memory', `The adapter does not fit beside the model: ${why}.`);
