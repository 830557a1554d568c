import type { EcosystemState } from './database.ts';
import { type DependencyException, exceptionFor, isExpired } from './exceptions.ts';
import { evaluate } from './osv.ts';
import { type Ecosystem, type Lock, type OsvRecord, SEVERITIES, type Vulnerability, type VulnerabilitySeverity } from './types.ts';

/** Why a check fails; none: it passed. */
export const CHECK_FAULTS = ['vulnerable', 'malicious', 'exception_expired', 'database_missing', 'database_stale'] as const;
export type CheckFault = (typeof CHECK_FAULTS)[number];

export interface DependencyFinding extends Vulnerability {
  /** Locks that hold the package. */
  readonly files: readonly string[];
  /** The exception that keeps it from counting, or that did until it ended. */
  readonly exception: (DependencyException & { readonly expired: boolean }) | null;
  /** Makes the check fail. */
  readonly counts: boolean;
}

export interface DependencyReport {
  readonly ok: boolean;
  readonly checkedAt: string;
  readonly source: 'database' | 'online';
  readonly locks: readonly { readonly file: string; readonly packages: number }[];
  /** Packages at different versions. */
  readonly packages: number;
  readonly database: readonly (EcosystemState & { readonly ageDays: number })[];
  readonly findings: readonly DependencyFinding[];
  readonly faults: readonly { readonly code: CheckFault; readonly message: string }[];
}

export interface CheckOptions {
  readonly locks: readonly Lock[];
  /** What is known of each package; `online`: asked now, so that it has no age. */
  readonly knowledge: {
    readonly kind: 'database' | 'online';
    readonly records: (ecosystem: Ecosystem, name: string) => readonly OsvRecord[];
    readonly states: readonly EcosystemState[];
  };
  readonly exceptions: readonly DependencyException[];
  /** From here on a finding counts. */
  readonly failOn: VulnerabilitySeverity;
  readonly nowMs: number;
}

export const MAX_DATABASE_AGE_DAYS = 14;
const DAY_MS = 86_400_000;

/** Compares every package of the locks with what is known (docs/spec/security.md §15). */
export function checkDependencies({ locks, knowledge, exceptions, failOn, nowMs }: CheckOptions): DependencyReport {
  const packages = new Map(
    locks.flatMap(({ packages: each }) => each.map(({ ecosystem, name, version }) => [`${ecosystem} ${name} ${version}`, { ecosystem, name, version }])),
  );
  const found = [...packages.values()].flatMap((wanted) => evaluate(knowledge.records(wanted.ecosystem, wanted.name), wanted));
  const findings = found.map((each): DependencyFinding => {
    const exception = exceptionFor(each, exceptions);
    const expired = exception !== null && isExpired(exception, nowMs);
    // What nobody has judged counts as high.
    const grave = SEVERITIES.indexOf(each.severity ?? 'high') >= SEVERITIES.indexOf(failOn);
    return {
      ...each,
      files: locks.filter((lock) => lock.packages.some((one) => isOf(each, one))).map(({ file }) => file),
      exception: exception === null ? null : { ...exception, expired },
      counts: each.malicious || (grave && (exception === null || expired)),
    };
  });
  const sorted = findings.sort((a, b) => weight(b) - weight(a) || (a.package < b.package ? -1 : 1));
  const database = knowledge.states.map((state) => ({ ...state, ageDays: Math.max(0, Math.floor((nowMs - Date.parse(state.newest)) / DAY_MS)) }));
  const ecosystems = new Set([...packages.values()].map(({ ecosystem }) => ecosystem));
  const faults = [...faultsOf(sorted, exceptions, nowMs), ...(knowledge.kind === 'online' ? [] : databaseFaults(ecosystems, database))];
  return {
    ok: faults.length === 0,
    checkedAt: new Date(nowMs).toISOString(),
    source: knowledge.kind,
    locks: locks.map(({ file, packages: each }) => ({ file, packages: each.length })),
    packages: packages.size,
    database,
    findings: sorted,
    faults,
  };
}

const isOf = (found: Vulnerability, { ecosystem, name, version }: { ecosystem: string; name: string; version: string }): boolean =>
  found.ecosystem === ecosystem && found.package === name && found.version === version;

const weight = ({ malicious, severity }: Vulnerability): number => (malicious ? SEVERITIES.length : SEVERITIES.indexOf(severity ?? 'high'));

type Fault = DependencyReport['faults'][number];

function faultsOf(findings: readonly DependencyFinding[], exceptions: readonly DependencyException[], nowMs: number): Fault[] {
  const malicious = findings.filter((each) => each.malicious);
  const grave = findings.filter((each) => each.counts && !each.malicious);
  return [
    ...malicious.map(({ package: name, version, id }) => ({ code: 'malicious' as const, message: `${name} ${version} is known to be malicious (${id}).` })),
    ...(grave.length === 0
      ? []
      : [{ code: 'vulnerable' as const, message: `${grave.length} of the vulnerabilities found ${grave.length === 1 ? 'counts' : 'count'}.` }]),
    ...exceptions
      .filter((each) => isExpired(each, nowMs))
      .map(({ id, package: name, expires, owner }) => ({
        code: 'exception_expired' as const,
        message: `The exception for ${id} in ${name} ended on ${expires}; ${owner} answers for it.`,
      })),
  ];
}

function databaseFaults(ecosystems: ReadonlySet<Ecosystem>, database: DependencyReport['database']): Fault[] {
  return [...ecosystems].flatMap((ecosystem): Fault[] => {
    const state = database.find((each) => each.ecosystem === ecosystem);
    if (state === undefined) return [{ code: 'database_missing', message: `Nothing is known of ${ecosystem}: no export of its vulnerabilities was imported.` }];
    // A date that cannot be read is no proof of being new.
    return state.ageDays <= MAX_DATABASE_AGE_DAYS
      ? []
      : [{ code: 'database_stale', message: `What is known of ${ecosystem} ends ${state.ageDays} days ago; ${MAX_DATABASE_AGE_DAYS} are allowed.` }];
  });
}
