import { PAGE_TOKENS, type PagePool } from '../../../ember/index.ts';

/**
 * Evaluated prefixes that later prompts may use: full pages by their token ids, below a root per salt (docs/spec/engines.md §2.5). A page in the
 * tree is full, so it is read by many and written by nobody. The tree holds one reference to each; a page that only the tree holds can be freed.
 */
export interface PrefixTree {
  /** The longest known prefix of full pages, with one reference each for the caller. At least one token of `tokens` is left over. */
  take(salt: string, tokens: readonly number[]): Uint32Array;
  /**
   * Remembers the full pages among the first `computed` cells of a sequence. Where another sequence left the same tokens, `pages` is changed to
   * its page: one copy is kept.
   */
  remember(salt: string, tokens: readonly number[], pages: Uint32Array, computed: number): void;
  /** Pages that `free` could give back. */
  readonly idle: number;
  /** Gives back at least `count` pages, if there are so many: least recently used leaves first. */
  free(count: number): void;
  clear(): void;
}

interface Node {
  readonly page: number;
  readonly key: string;
  readonly parent: Node | null;
  readonly children: Map<string, Node>;
  usedAt: number;
}

export function createPrefixTree(pool: PagePool): PrefixTree {
  let clock = 0;
  let roots = new Map<string, Node>();
  const nodes = new Set<Node>();
  const root = (salt: string): Node => {
    const found = roots.get(salt) ?? { page: -1, key: salt, parent: null, children: new Map(), usedAt: 0 };
    roots.set(salt, found);
    return found;
  };
  const keyOf = (tokens: readonly number[], page: number): string => tokens.slice(page * PAGE_TOKENS, (page + 1) * PAGE_TOKENS).join();
  const onlyOurs = (node: Node): boolean => pool.references(node.page) === 1;

  const tree: PrefixTree = {
    take(salt, tokens) {
      const pages: number[] = [];
      let node = root(salt);
      while ((pages.length + 1) * PAGE_TOKENS < tokens.length) {
        const child = node.children.get(keyOf(tokens, pages.length));
        if (child === undefined) break;
        child.usedAt = ++clock;
        pages.push(child.page);
        node = child;
      }
      pool.retain(pages);
      return Uint32Array.from(pages);
    },
    remember(salt, tokens, pages, computed) {
      let node = root(salt);
      for (let i = 0; (i + 1) * PAGE_TOKENS <= computed; i++) {
        const key = keyOf(tokens, i);
        let child = node.children.get(key);
        if (child === undefined) {
          child = { page: pages[i]!, key, parent: node, children: new Map(), usedAt: 0 };
          pool.retain([child.page]);
          node.children.set(key, child);
          nodes.add(child);
        } else if (child.page !== pages[i]) {
          pool.retain([child.page]);
          pool.release([pages[i]!]);
          pages[i] = child.page;
        }
        child.usedAt = ++clock;
        node = child;
      }
    },
    // Whoever uses a page uses all above it, so what hangs below an idle page is idle too.
    get idle() {
      let count = 0;
      for (const node of nodes) if (onlyOurs(node)) count++;
      return count;
    },
    free(count) {
      for (let left = count; left > 0; left--) {
        let oldest: Node | undefined;
        for (const node of nodes) if (node.children.size === 0 && onlyOurs(node) && (oldest === undefined || node.usedAt < oldest.usedAt)) oldest = node;
        if (oldest === undefined) return;
        oldest.parent?.children.delete(oldest.key);
        nodes.delete(oldest);
        pool.release([oldest.page]);
      }
    },
    clear() {
      for (const node of nodes) pool.release([node.page]);
      nodes.clear();
      roots = new Map();
    },
  };
  return tree;
}
