import type { PageCache } from '../../../ember/index.ts';
import type { PrefixTree } from './prefix-tree.ts';
import type { Evaluated } from './sequence.ts';

/** So many tokens apart prefixes can be taken up, while there is room (docs/spec/serving.md §4 item 5). */
const APART = 2_048;

/**
 * Behind a step that brought a sequence from `before` cells to those that it has: of layers with a window, the pages that have left it are given
 * back, but what lies behind a border where a later prompt may be taken up is remembered first. That is every 2,048 tokens, and where the prompt
 * parted from a known one that could not be taken up there.
 */
export function leaveWindows(sequence: Evaluated, before: number, cache: PageCache, prefixes: PrefixTree): void {
  if (cache.groups.length === 1) return;
  const { request, tokens, pages, computed, parting } = sequence;
  if (request.salt !== null) {
    const last = Math.floor(computed / APART) * APART;
    if (last > before) prefixes.remember(request.salt, tokens, pages, last, true);
    if (parting > before && parting <= computed) prefixes.remember(request.salt, tokens, pages, parting);
  }
  cache.slide(pages, computed);
}
