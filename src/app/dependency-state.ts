import { join } from 'node:path';
import { readManagedFile } from '../core/index.ts';
import type { Telemetry } from '../telemetry/index.ts';

/** What the last check of hearth's own dependencies found. */
export interface DependencyState {
  readonly v: 1;
  readonly checkedAt: string;
  readonly ok: boolean;
  readonly counts: Readonly<Record<'low' | 'medium' | 'high' | 'critical', number>>;
  /** When the newest record of each ecosystem was changed. */
  readonly newest: readonly string[];
  /** Findings that were told already. */
  readonly known: readonly string[];
}

export const dependencyStatePath = (home: string): string => join(home, 'state', 'dependencies.json');

export const findingKey = ({ id, package: name, version }: { readonly id: string; readonly package: string; readonly version: string }): string =>
  `${id} ${name} ${version}`;

/** null: never checked, or unreadable. */
export function readDependencyState(home: string): DependencyState | null {
  try {
    const text = readManagedFile(dependencyStatePath(home));
    const state = text === null ? null : (JSON.parse(text) as DependencyState);
    return state?.v === 1 ? state : null;
  } catch {
    return null;
  }
}

/** The gauges of dependencies, read anew for each `/metrics`; without a check there are none. */
export function collectDependencyGauges({ registry }: Telemetry, home: string, now: () => number): void {
  registry.onCollect(() => {
    for (const name of ['hearth_sbom_vulnerabilities', 'hearth_vuln_db_age_seconds']) registry.clear(name);
    const state = readDependencyState(home);
    if (state === null) return;
    for (const [severity, count] of Object.entries(state.counts)) registry.set('hearth_sbom_vulnerabilities', [severity], count);
    const oldest = Math.min(...state.newest.map((each) => Date.parse(each)));
    if (Number.isFinite(oldest)) registry.set('hearth_vuln_db_age_seconds', [], Math.max(0, (now() - oldest) / 1000));
  });
}
