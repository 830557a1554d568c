import { firstPageKept, NO_PAGE, PAGE_TOKENS, type PageCache, type PageTables } from '../../../ember/index.ts';

/**
 * Evaluated prefixes that later prompts may use: full pages by their token ids, below a root per salt (docs/spec/engines.md §2.5). A page in the
 * tree is full, so it is read by many and written by nobody. The tree holds one reference to each; a page that only the tree holds can be freed.
 * Of a layer with a window it holds the pages behind some borders only: there a prefix can be taken up.
 */
export interface PrefixTree {
  /** The longest known prefix that can be taken up, with one reference for the caller to each page. At least one token of `tokens` is left over. */
  take(salt: string, tokens: readonly number[]): KnownPrefix;
  /**
   * Remembers the full pages among the first `cells` cells of a sequence, and what is needed to go on at their last border. Where another sequence
   * left the same tokens, `pages` is changed to its pages: one copy is kept. `passing`: the border is the first that may be forgotten.
   */
  remember(salt: string, tokens: readonly number[], pages: PageTables, cells: number, passing?: boolean): void;
  /** Pages of the first group that `free` could give back. */
  readonly idle: number;
  /** Gives back at least `count` pages of a group, if there are so many: the least recently used first. */
  free(group: number, count: number): void;
  clear(): void;
}

export interface KnownPrefix {
  readonly pages: PageTables;
  /** Full pages that are known, though perhaps not so that one could go on there. */
  readonly known: number;
}

interface Node {
  /** Of each group; NO_PAGE where it is not held. */
  readonly pages: Uint32Array;
  readonly usedAt: number[];
  readonly key: string;
  readonly parent: Node | null;
  readonly children: Map<string, Node>;
}

export function createPrefixTree(cache: PageCache): PrefixTree {
  const { groups } = cache;
  let clock = 0;
  let roots = new Map<string, Node>();
  const nodes = new Set<Node>();
  const nodeOf = (key: string, parent: Node | null): Node => ({
    pages: new Uint32Array(groups.length).fill(NO_PAGE),
    usedAt: groups.map(() => 0),
    key,
    parent,
    children: new Map(),
  });
  const root = (salt: string): Node => {
    const found = roots.get(salt) ?? nodeOf(salt, null);
    roots.set(salt, found);
    return found;
  };
  const keyOf = (tokens: readonly number[], page: number): string => tokens.slice(page * PAGE_TOKENS, (page + 1) * PAGE_TOKENS).join();
  const onlyOurs = (node: Node, group: number): boolean => node.pages[group] !== NO_PAGE && groups[group]!.pool.references(node.pages[group]!) === 1;
  const drop = (node: Node, group: number): void => {
    if (node.pages[group] !== NO_PAGE) groups[group]!.pool.release([node.pages[group]!]);
    node.pages[group] = NO_PAGE;
  };

  function oldestOf(group: number): Node | undefined {
    let oldest: Node | undefined;
    for (const node of nodes) {
      if (!onlyOurs(node, group) || (group === 0 && node.children.size > 0)) continue;
      if (oldest === undefined || node.usedAt[group]! < oldest.usedAt[group]!) oldest = node;
    }
    return oldest;
  }

  /** The node holds the sequence's page, or the sequence the node's. */
  function hold(node: Node, group: number, table: Uint32Array, place: number): void {
    const { pool } = groups[group]!;
    const own = table[place]!;
    const known = node.pages[group]!;
    if (known === own || own === NO_PAGE) return;
    pool.retain([known === NO_PAGE ? own : known]);
    if (known === NO_PAGE) node.pages[group] = own;
    else {
      pool.release([own]);
      table[place] = known;
    }
  }

  return {
    take(salt, tokens) {
      const path: Node[] = [];
      for (let node = root(salt); (path.length + 1) * PAGE_TOKENS < tokens.length; ) {
        const child = node.children.get(keyOf(tokens, path.length));
        if (child === undefined) break;
        path.push(child);
        node = child;
      }
      const known = groups.map((_, g) => Uint32Array.from(path, (node) => node.pages[g]!));
      for (let count = path.length; count > 0; count--) {
        const pages = cache.share(known, count);
        if (pages === null) continue;
        clock++;
        for (const [g, table] of pages.entries()) for (const [i, page] of table.entries()) if (page !== NO_PAGE) path[i]!.usedAt[g] = clock;
        return { pages, known: path.length };
      }
      return { pages: cache.empty, known: path.length };
    },
    remember(salt, tokens, pages, cells, passing = false) {
      clock++;
      let node = root(salt);
      for (let i = 0; (i + 1) * PAGE_TOKENS <= cells; i++) {
        const key = keyOf(tokens, i);
        const child = node.children.get(key) ?? nodeOf(key, node);
        node.children.set(key, child);
        nodes.add(child);
        for (const [g, { window }] of groups.entries()) {
          if (i < firstPageKept(window, cells)) continue;
          hold(child, g, pages[g]!, i);
          if (g === 0 || !passing) child.usedAt[g] = clock;
        }
        node = child;
      }
    },
    // Whoever uses a page uses all above it, so what hangs below an idle page is idle too.
    get idle() {
      let count = 0;
      for (const node of nodes) if (onlyOurs(node, 0)) count++;
      return count;
    },
    free(group, count) {
      for (let left = count; left > 0; left--) {
        const oldest = oldestOf(group);
        if (oldest === undefined) return;
        drop(oldest, group);
        // Nothing is known any more without the page of the first group.
        if (group !== 0) continue;
        for (const g of groups.keys()) drop(oldest, g);
        oldest.parent?.children.delete(oldest.key);
        nodes.delete(oldest);
      }
    },
    clear() {
      for (const node of nodes) for (const g of groups.keys()) drop(node, g);
      nodes.clear();
      roots = new Map();
    },
  };
}
