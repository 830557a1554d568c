import type { GrammarNode } from './grammar.ts';

/** Whether a node can match nothing, given the rules that can. */
export function nullable(node: GrammarNode, emptyRules: ReadonlySet<string>): boolean {
  switch (node.kind) {
    case 'text':
      return node.text === '';
    case 'class':
      return false;
    case 'sequence':
      return node.items.every((item) => nullable(item, emptyRules));
    case 'choice':
      return node.items.some((item) => nullable(item, emptyRules));
    case 'repeat':
      return node.min === 0 || nullable(node.item, emptyRules);
    case 'free':
      return true;
    case 'rule':
      return emptyRules.has(node.name);
  }
}

/** The rules that can match nothing. */
export function nullableRules(rules: ReadonlyMap<string, GrammarNode>): ReadonlySet<string> {
  const empty = new Set<string>();
  for (let known = -1; known < empty.size; ) {
    known = empty.size;
    for (const [name, node] of rules) if (!empty.has(name) && nullable(node, empty)) empty.add(name);
  }
  return empty;
}
