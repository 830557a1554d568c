/** Where a byte range leads in text without marks. */
export interface FreeEdge {
  readonly from: number;
  readonly to: number;
  readonly next: number;
}

interface TrieNode {
  readonly next: Map<number, TrieNode>;
  /** The longest proper suffix of this node's text that is the beginning of a mark. */
  fallback: TrieNode | null;
  isMark: boolean;
  number: number;
}

/** States of the text that holds none of the marks: each is the longest end of the text that begins a mark (Aho and Corasick). State 0 is the start. */
export function freeTextStates(marks: readonly string[]): readonly (readonly FreeEdge[])[] {
  const root: TrieNode = { next: new Map(), fallback: null, isMark: false, number: 0 };
  const nodes = [root];
  for (const mark of marks) {
    let at = root;
    for (const byte of Buffer.from(mark, 'utf8')) {
      let next = at.next.get(byte);
      if (next === undefined) {
        next = { next: new Map(), fallback: null, isMark: false, number: 0 };
        at.next.set(byte, next);
      }
      at = next;
    }
    at.isMark = true;
  }
  const follow = (from: TrieNode, byte: number): TrieNode => {
    for (let at: TrieNode | null = from; at !== null; at = at.fallback) {
      const next = at.next.get(byte);
      if (next !== undefined) return next;
    }
    return root;
  };
  for (const node of nodes)
    for (const [byte, next] of node.next) {
      next.fallback = node.fallback === null ? root : follow(node.fallback, byte);
      next.isMark ||= next.fallback.isMark;
      next.number = nodes.length;
      nodes.push(next);
    }
  return nodes.map((node) => (node.isMark ? [] : edgesOf((byte) => follow(node, byte))));
}

function edgesOf(follow: (byte: number) => TrieNode): FreeEdge[] {
  const edges: { from: number; to: number; next: number }[] = [];
  for (let byte = 0; byte < 256; byte++) {
    const target = follow(byte);
    if (target.isMark) continue;
    const last = edges.at(-1);
    if (last !== undefined && last.to === byte - 1 && last.next === target.number) last.to = byte;
    else edges.push({ from: byte, to: byte, next: target.number });
  }
  return edges;
}
