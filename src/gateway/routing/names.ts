import { HearthError } from '../../core/index.ts';
import type { Upstream } from '../upstream.ts';
import type { Balance } from './balance.ts';

/** One of `routes.<name>`. */
export interface RouteSettings {
  /** Each a list of targets: `<remote>/<model>`, a remote, or a model of the store. */
  readonly levels: readonly (readonly string[])[];
  readonly balance: Balance;
  /** false: a failed target is not followed by another one. */
  readonly fallback: boolean;
}

export interface NameTable {
  readonly routes: Readonly<Record<string, RouteSettings>>;
  /** Name, or glob with `*`, → the name that is meant. */
  readonly aliases: Readonly<Record<string, string>>;
  readonly upstreams: readonly Upstream[];
}

export type NamedTarget =
  | { readonly kind: 'local'; readonly name: string }
  | { readonly kind: 'upstream'; readonly upstream: Upstream; readonly model: string };

/** Where a request of one name may go. */
export interface RoutePlan extends Omit<RouteSettings, 'levels'> {
  /** Name of the route; null for a single target. */
  readonly route: string | null;
  readonly levels: readonly (readonly NamedTarget[])[];
}

export const idOf = (target: NamedTarget): string => (target.kind === 'local' ? target.name : `${target.upstream.name}/${target.model}`);

/** What the table makes of a name that no model has exactly; null: it is left to the store. Throws ambiguous_match for globs that contradict each other. */
export function planOf(name: string, table: NameTable): RoutePlan | null {
  const meant = meantBy(name, table.aliases);
  const planned = withoutAlias(meant ?? name, table);
  return planned ?? (meant === null ? null : single({ kind: 'local', name: meant }));
}

/** The last `+` splits off an adapter first, so that a glob never takes it for a part of the name (docs/spec/serving.md §1.2). */
function meantBy(name: string, aliases: NameTable['aliases']): string | null {
  const at = name.lastIndexOf('+');
  if (at < 1 || Object.hasOwn(aliases, name)) return aliasOf(name, aliases);
  const base = aliasOf(name.slice(0, at), aliases);
  return base === null ? null : base + name.slice(at);
}

/** The name that an alias stands for; null without one. The exact one goes before globs, a longer glob before a shorter one. */
export function aliasOf(name: string, aliases: NameTable['aliases']): string | null {
  if (Object.hasOwn(aliases, name)) return aliases[name]!;
  const matching = Object.entries(aliases).filter(([glob]) => glob.includes('*') && globMatches(glob, name));
  const longest = Math.max(...matching.map(([glob]) => glob.length));
  const meant = new Set(matching.filter(([glob]) => glob.length === longest).map(([, target]) => target));
  if (meant.size > 1)
    throw new HearthError('ambiguous_match', `Several aliases fit ${name}: ${[...meant].join(', ')}.`, { details: { param: 'model', matches: [...meant] } });
  return [...meant][0] ?? null;
}

/** `*` is any text, also with slashes. */
export const globMatches = (glob: string, name: string): boolean =>
  new RegExp(`^${glob.replaceAll(/[.*+?^${}()|[\]\\]/g, (sign) => (sign === '*' ? '.*' : `\\${sign}`))}$`, 's').test(name);

function withoutAlias(name: string, table: NameTable): RoutePlan | null {
  if (!Object.hasOwn(table.routes, name)) {
    const target = ofUpstream(name, table.upstreams);
    return target && single(target);
  }
  const { levels, ...rest } = table.routes[name]!;
  return { ...rest, route: name, levels: levels.map((level) => level.map((target) => targetOf(target, name, table.upstreams))) };
}

const single = (target: NamedTarget): RoutePlan => ({ route: null, levels: [[target]], balance: 'prefix-affine', fallback: true });

const targetOf = (name: string, route: string, upstreams: readonly Upstream[]): NamedTarget =>
  ofUpstream(name, upstreams) ?? wholeUpstream(name, route, upstreams) ?? { kind: 'local', name };

/** `<remote>/<model>`, where the model's name may hold slashes too. */
function ofUpstream(name: string, upstreams: readonly Upstream[]): NamedTarget | null {
  const slash = name.indexOf('/');
  const upstream = slash > 0 ? upstreams.find((each) => each.name === name.slice(0, slash)) : undefined;
  const model = name.slice(slash + 1);
  return upstream === undefined || model === '' ? null : { kind: 'upstream', upstream, model };
}

/** A remote without a model: its model of the route's name, else the first of its list. */
function wholeUpstream(name: string, route: string, upstreams: readonly Upstream[]): NamedTarget | null {
  const upstream = upstreams.find((each) => each.name === name);
  if (upstream === undefined) return null;
  const models = upstream.models();
  return { kind: 'upstream', upstream, model: models.includes(route) ? route : (models[0] ?? route) };
}
