import { PAGE_TOKENS } from '../kernel-interface.ts';
import type { PageGroup } from '../types.ts';

export interface GroupShape {
  readonly contextTokens: number;
  readonly batchTokens: number;
  /** Sequences that run at once. */
  readonly sequences: number;
}

/** Windows of prefixes that have room beside those of as many sequences as may run. */
const KEPT_WINDOWS = 2;

/**
 * The groups of a model whose layers have these windows: first the one of all cells, whose pages also stand for the context that is in use, then
 * one per window that is so much smaller than the context that its pool is smaller too.
 */
export function planPageGroups(windows: Iterable<number>, shape: GroupShape): readonly PageGroup[] {
  const all: PageGroup = { window: 0, pageCount: Math.ceil(shape.contextTokens / PAGE_TOKENS) };
  const narrow = [...new Set(windows)]
    .filter((window) => window > 0)
    .sort((a, b) => a - b)
    .map((window) => ({ window, pageCount: windowPages(window, shape) }));
  return [all, ...narrow.filter(({ pageCount }) => pageCount < all.pageCount)];
}

/** What all sequences together can hold in a step, so that no sequence ever waits for a page of a window, and some windows for prefixes. */
function windowPages(window: number, { batchTokens, sequences }: GroupShape): number {
  const behind = Math.ceil((window - 1) / PAGE_TOKENS);
  // A sequence has its window before the last border of a page, the page of that border, and one that its tokens of the step begin.
  return sequences * (behind + 2) + Math.ceil(batchTokens / PAGE_TOKENS) + KEPT_WINDOWS * (behind + 1);
}

/** Which group layers with this window belong to. */
export const groupOf = (groups: readonly PageGroup[], window: number): number =>
  Math.max(
    0,
    groups.findIndex((group) => group.window === window),
  );

/** First page that a token at `position` sees. */
export const firstPageSeen = (window: number, position: number): number => (window === 0 ? 0 : Math.max(0, Math.floor((position - window + 1) / PAGE_TOKENS)));

/**
 * First page of a sequence with `cells` cells that is still of use: what is seen from the last border of a page before its last cell. So another
 * sequence can go on there, and there is always a token left over for it.
 */
export const firstPageKept = (window: number, cells: number): number => firstPageSeen(window, Math.floor((cells - 1) / PAGE_TOKENS) * PAGE_TOKENS);
