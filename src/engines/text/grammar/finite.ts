import type { Grammar, GrammarNode } from './grammar.ts';

/** Whether any text of the grammar has an end: rules that always need themselves again match none. */
export function hasFiniteText({ root, rules }: Grammar): boolean {
  const finite = new Set<string>();
  const ends = (node: GrammarNode): boolean => {
    switch (node.kind) {
      case 'sequence':
        return node.items.every(ends);
      case 'choice':
        return node.items.some(ends);
      case 'repeat':
        return node.min === 0 || ends(node.item);
      case 'rule':
        return finite.has(node.name);
      default:
        return true;
    }
  };
  for (let known = -1; known < finite.size; ) {
    known = finite.size;
    for (const [name, node] of rules) if (!finite.has(name) && ends(node)) finite.add(name);
  }
  return ends(root);
}
