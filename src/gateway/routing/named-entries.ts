import type { Capabilities } from '../../engines/index.ts';
import { idOf, type NameTable, planOf } from './names.ts';

/** A name that the configuration adds to the models of this machine. */
export interface NamedEntry {
  readonly id: string;
  readonly kind: 'upstream' | 'route' | 'alias';
  /** Of a model of an upstream, or of a route whose first target is one. */
  readonly upstream: string | null;
  /** Nothing of a request leaves the machine. */
  readonly local: boolean;
  readonly capabilities: Capabilities | null;
  /** Ids of the targets, in their order; what an alias stands for. */
  readonly targets: readonly string[];
}

/** Routes and plain aliases, then the models that upstreams list. A glob is no name. */
export function namedEntries(table: NameTable): readonly NamedEntry[] {
  const entry = (id: string, kind: NamedEntry['kind']): NamedEntry => {
    const targets = (planOf(id, table)?.levels ?? []).flat();
    const [first] = targets;
    return {
      id,
      kind,
      upstream: first?.kind === 'upstream' ? first.upstream.name : null,
      local: targets.every((target) => target.kind === 'local' || target.upstream.privacy === 'local'),
      capabilities: first?.kind === 'upstream' ? first.upstream.targetOf(first.model).capabilities : null,
      targets: targets.map(idOf),
    };
  };
  return [
    ...Object.keys(table.routes).map((name) => entry(name, 'route')),
    ...Object.keys(table.aliases)
      .filter((name) => !name.includes('*') && !Object.hasOwn(table.routes, name))
      .map((name) => entry(name, 'alias')),
    ...table.upstreams.flatMap((upstream) => upstream.models().map((model) => entry(`${upstream.name}/${model}`, 'upstream'))),
  ];
}
