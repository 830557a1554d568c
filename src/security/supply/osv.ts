import { comparePep440 } from './pep440-order.ts';
import { compareSemver } from './semver-order.ts';
import { severityOf } from './severity.ts';
import { type Ecosystem, type OsvAffected, type OsvRecord, SEVERITIES, type Vulnerability, type VulnerabilitySeverity } from './types.ts';

export interface PackageVersion {
  readonly ecosystem: Ecosystem;
  readonly name: string;
  readonly version: string;
}

/** Names of PyPI in one spelling (PEP 503). */
export const packageName = (ecosystem: string, name: string): string => (ecosystem === 'PyPI' ? name.toLowerCase().replaceAll(/[-_.]+/g, '-') : name);

/**
 * Whether a record speaks of this version (the evaluation of the OSV schema): it is in a `versions` list, or in a range of `events`. What cannot be
 * compared counts as affected, so that a strange version hides nothing. A withdrawn record speaks of none.
 */
export function affects(record: OsvRecord, wanted: PackageVersion): { readonly fixedIn: string | null; readonly affected: OsvAffected } | null {
  if (typeof record.withdrawn === 'string') return null;
  for (const affected of record.affected ?? []) {
    const { ecosystem = '', name = '' } = affected.package ?? {};
    // An ecosystem may carry a suffix, such as a release of a distribution.
    if (ecosystem.split(':', 1)[0] !== wanted.ecosystem || packageName(ecosystem, name) !== packageName(wanted.ecosystem, wanted.name)) continue;
    const listed = (affected.versions ?? []).some((version) => same(wanted, version));
    const ranges = (affected.ranges ?? []).filter(({ type }) => type === 'SEMVER' || type === 'ECOSYSTEM');
    const hit = ranges.find(({ events }) => inRange(wanted, events ?? []));
    if (listed || hit !== undefined) return { fixedIn: firstFix(wanted, hit?.events ?? ranges.flatMap(({ events }) => events ?? [])), affected };
  }
  return null;
}

/** Where our version lies to another one. As PEP 440 has it for specifiers, a local part (`+cpu`) counts only against one that has one. */
function placeOf({ ecosystem, version }: PackageVersion, other: string): number | null {
  if (ecosystem === 'npm') return compareSemver(version, other);
  return comparePep440(other.includes('+') ? version : version.split('+', 1)[0]!, other);
}

const orderOf = (ecosystem: Ecosystem): ((a: string, b: string) => number | null) => (ecosystem === 'npm' ? compareSemver : comparePep440);

const same = (wanted: PackageVersion, listed: string): boolean => listed === wanted.version || placeOf(wanted, listed) === 0;

type Event = Readonly<Record<string, string>>;
const KINDS = ['introduced', 'fixed', 'last_affected', 'limit'] as const;

/** Goes through the events in the order of their versions; each that is not after ours switches. */
function inRange(wanted: PackageVersion, events: readonly Event[]): boolean {
  const limits = events.flatMap((event) => event['limit'] ?? []);
  // With limits, a version has to lie before one of them; `*` is behind all.
  if (limits.length > 0 && !limits.some((limit) => limit === '*' || (placeOf(wanted, limit) ?? -1) < 0)) return false;
  const steps = events.flatMap((event) => KINDS.slice(0, 3).flatMap((kind) => (event[kind] === undefined ? [] : [{ kind, at: event[kind] }])));
  const sorted = steps.sort((a, b) => order(orderOf(wanted.ecosystem), a, b));
  let inside = false;
  for (const { kind, at } of sorted) {
    const place = at === '0' ? 1 : placeOf(wanted, at);
    if (place === null) return steps.some((step) => step.kind === 'introduced');
    if (kind === 'introduced' && place >= 0) inside = true;
    if (kind === 'fixed' && place >= 0) inside = false;
    if (kind === 'last_affected' && place > 0) inside = false;
  }
  return inside;
}

interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly at: string;
}

function order(compare: (a: string, b: string) => number | null, a: Step, b: Step): number {
  if (a.at === '0' || b.at === '0') {
    if (a.at !== b.at) return a.at === '0' ? -1 : 1;
  } else {
    const versions = compare(a.at, b.at) ?? 0;
    if (versions !== 0) return versions;
  }
  // Repaired and broken again in the same version: broken.
  return rank(a) - rank(b);
}

const rank = ({ kind }: Step): number => (kind === 'introduced' ? 1 : 0);

/** The nearest repair above. */
function firstFix(wanted: PackageVersion, events: readonly Event[]): string | null {
  const above = events.flatMap((event) => event['fixed'] ?? []).filter((fixed) => (placeOf(wanted, fixed) ?? 0) < 0);
  return above.sort((a, b) => orderOf(wanted.ecosystem)(a, b) ?? 0)[0] ?? null;
}

/** All that records say of one package version, those of one vulnerability joined by their aliases. */
export function evaluate(records: readonly OsvRecord[], wanted: PackageVersion): readonly Vulnerability[] {
  const hits = records.flatMap((record) => {
    const hit = affects(record, wanted);
    return hit === null ? [] : [{ record, ...hit }];
  });
  return groups(hits.map(({ record }) => record)).map((group) => {
    const members = hits.filter(({ record }) => group.includes(record));
    const names = [...new Set(group.flatMap(({ id, aliases = [] }) => [id, ...aliases]))].sort((a, b) => standing(a) - standing(b) || (a < b ? -1 : 1));
    const severities = members.flatMap(({ record, affected }) => severityOf(record, affected) ?? []);
    return {
      id: names[0]!,
      aliases: names.slice(1),
      summary: group.map(({ summary, details }) => summary ?? details?.split('\n', 1)[0] ?? '').find((text) => text !== '') ?? '',
      severity: highest(severities),
      malicious: names.some((name) => name.startsWith('MAL-')),
      ecosystem: wanted.ecosystem,
      package: wanted.name,
      version: wanted.version,
      fixedIn: members.map(({ fixedIn }) => fixedIn).find((fixed) => fixed !== null) ?? null,
    };
  });
}

const standing = (id: string): number => ['MAL-', 'CVE-', 'GHSA-'].findIndex((prefix) => id.startsWith(prefix)) >>> 0;

const highest = (severities: readonly VulnerabilitySeverity[]): VulnerabilitySeverity | null =>
  severities.reduce<VulnerabilitySeverity | null>((top, each) => (top === null || SEVERITIES.indexOf(each) > SEVERITIES.indexOf(top) ? each : top), null);

/** Records that share a name, directly or through others. */
function groups(records: readonly OsvRecord[]): OsvRecord[][] {
  const found: { readonly names: Set<string>; readonly members: OsvRecord[] }[] = [];
  for (const record of records) {
    const names = new Set([record.id, ...(record.aliases ?? [])]);
    const touching = found.filter((group) => [...names].some((name) => group.names.has(name)));
    const joined = {
      names: new Set([...names, ...touching.flatMap((group) => [...group.names])]),
      members: [...touching.flatMap(({ members }) => members), record],
    };
    for (const group of touching) found.splice(found.indexOf(group), 1);
    found.push(joined);
  }
  return found.map(({ members }) => members);
}
