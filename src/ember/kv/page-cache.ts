import { PAGE_TOKENS } from '../kernel-interface.ts';
import { NO_PAGE, type PageGroup, type PageTables } from '../types.ts';
import { firstPageKept, firstPageSeen } from './page-groups.ts';
import { createPagePool, type PagePool } from './page-pool.ts';

/** Pages of all groups, and the tables that sequences make of them. It knows numbers only: the cells lie in the ranks. */
export interface PageCache {
  readonly groups: readonly { readonly window: number; readonly pool: PagePool }[];
  /** Of a sequence that has no cells; an empty list is one as well. */
  readonly empty: PageTables;
  /** Pages that each group lacks for `cells` cells. */
  missing(tables: PageTables, cells: number): readonly number[];
  /** Tables with room for `cells` cells; null, and no change, when a group has too few pages. */
  grow(tables: PageTables, cells: number): PageTables | null;
  /** Gives back the pages that left their windows, and marks their places. A sequence of `cells` cells can go on, and be gone on from at its last border. */
  slide(tables: PageTables, cells: number): void;
  /** The tables of another sequence that goes on behind the first `pages` pages, with one more reference to each page that it sees; null where one is gone. */
  share(tables: PageTables, pages: number): PageTables | null;
  release(tables: PageTables): void;
}

export const pagesFor = (cells: number): number => Math.ceil(cells / PAGE_TOKENS);

export function createPageCache(groups: readonly PageGroup[]): PageCache {
  const made = groups.map(({ window, pageCount }) => ({ window, pool: createPagePool(pageCount) }));
  const present = (table: Uint32Array): Uint32Array => table.filter((page) => page !== NO_PAGE);

  const missing = (tables: PageTables, cells: number): number[] => tables.map((table) => Math.max(0, pagesFor(cells) - table.length));
  return {
    groups: made,
    empty: made.map(() => new Uint32Array()),
    missing,
    grow(tables, cells) {
      const counts = missing(tables, cells);
      if (made.some(({ pool }, g) => counts[g]! > pool.free)) return null;
      return tables.map((table, g) => (counts[g] === 0 ? table : Uint32Array.of(...table, ...made[g]!.pool.allocate(counts[g]!)!)));
    },
    slide(tables, cells) {
      for (const [g, { window, pool }] of made.entries()) {
        const table = tables[g]!;
        for (let page = firstPageKept(window, cells) - 1; page >= 0 && table[page] !== NO_PAGE; page--) {
          pool.release([table[page]!]);
          table[page] = NO_PAGE;
        }
      }
    },
    share(tables, pages) {
      const seen = made.map(({ window }) => firstPageSeen(window, pages * PAGE_TOKENS));
      if (tables.some((table, g) => table.subarray(seen[g], pages).includes(NO_PAGE))) return null;
      return made.map(({ pool }, g) => {
        const table = tables[g]!.slice(0, pages).fill(NO_PAGE, 0, seen[g]);
        pool.retain(present(table));
        return table;
      });
    },
    release(tables) {
      for (const [g, table] of tables.entries()) made[g]!.pool.release(present(table));
    },
  };
}
