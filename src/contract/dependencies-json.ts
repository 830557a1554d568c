export type DependencySeverity = 'low' | 'medium' | 'high' | 'critical';

/** One known vulnerability of one package version. */
export interface DependencyFindingJson {
  readonly id: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  /** null: nobody has judged it; it counts as high. */
  readonly severity: DependencySeverity | null;
  readonly malicious: boolean;
  readonly ecosystem: string;
  readonly package: string;
  readonly version: string;
  readonly fixedIn: string | null;
  /** Locks that hold the package. */
  readonly files: readonly string[];
  readonly exception: {
    readonly id: string;
    readonly package: string;
    readonly reason: string;
    readonly owner: string;
    readonly expires: string;
    readonly expired: boolean;
  } | null;
  /** Makes the check fail. */
  readonly counts: boolean;
}

interface EcosystemStateJson {
  readonly ecosystem: string;
  readonly records: number;
  /** When its newest record was changed. */
  readonly newest: string;
}

/** `data` of `hearth deps check --json`. */
export interface DependencyReportJson {
  readonly ok: boolean;
  readonly checkedAt: string;
  readonly source: 'database' | 'online';
  readonly locks: readonly { readonly file: string; readonly packages: number }[];
  readonly packages: number;
  readonly database: readonly (EcosystemStateJson & { readonly ageDays: number })[];
  readonly findings: readonly DependencyFindingJson[];
  /** `vulnerable`, `malicious`, `exception_expired`, `database_missing`, `database_stale`. */
  readonly faults: readonly { readonly code: string; readonly message: string }[];
}

/** `data` of `hearth deps update --json`. */
export interface DependencyUpdateJson {
  readonly database: string;
  readonly imported: readonly {
    readonly file: string;
    readonly records: number;
    readonly withdrawn: number;
    readonly ecosystems: readonly EcosystemStateJson[];
  }[];
}
