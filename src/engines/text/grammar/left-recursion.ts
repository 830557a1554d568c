import { HearthError } from '../../../core/index.ts';
import type { Grammar, GrammarNode } from './grammar.ts';
import { nullable, nullableRules } from './nullable.ts';

/** Throws invalid_value for a grammar that cannot be matched on any vocabulary. */
export function checkGrammar(grammar: Grammar): void {
  refuseLeftRecursion(grammar, nullableRules(grammar.rules));
}

/** Throws invalid_value for a rule that can call itself before it has matched anything: such a rule has no beginning. */
export function refuseLeftRecursion({ rules }: Grammar, emptyRules: ReadonlySet<string>): void {
  const leftmost = (node: GrammarNode): string[] => {
    switch (node.kind) {
      case 'rule':
        return [node.name];
      case 'choice':
        return node.items.flatMap(leftmost);
      case 'repeat':
        return node.max === 0 ? [] : leftmost(node.item);
      case 'sequence': {
        const end = node.items.findIndex((item) => !nullable(item, emptyRules));
        return node.items.slice(0, end < 0 ? undefined : end + 1).flatMap(leftmost);
      }
      default:
        return [];
    }
  };
  const done = new Set<string>();
  const open = new Set<string>();
  for (const first of rules.keys()) {
    const stack: { readonly name: string; readonly left: string[] }[] = [];
    const enter = (name: string): void => {
      const node = rules.get(name);
      if (node === undefined || done.has(name)) return;
      if (open.has(name)) throw new HearthError('invalid_value', `The grammar's rule ${name} begins with itself, so it can never be matched.`);
      open.add(name);
      stack.push({ name, left: [...new Set(leftmost(node))] });
    };
    enter(first);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.left.pop();
      if (next !== undefined) {
        enter(next);
        continue;
      }
      open.delete(top.name);
      done.add(top.name);
      stack.pop();
    }
  }
}
