/** Where a package comes from, as vulnerability databases name it. */
export type Ecosystem = 'npm' | 'PyPI';

/** One package at one version, as a lock or an installation names it. */
export interface LockedPackage {
  readonly ecosystem: Ecosystem;
  /** PyPI names are normalised (PEP 503). */
  readonly name: string;
  readonly version: string;
  /** Subresource integrity (npm) or `sha256:<hex>` (Python); null where the lock has none. */
  readonly integrity: string | null;
  readonly licence: string | null;
  /** `excluded`: only for development; `optional`: only on some platforms, or where the user wants it. */
  readonly scope: 'required' | 'optional' | 'excluded';
  /** Its place in the tree: `node_modules/a/node_modules/b`; for Python its name. */
  readonly path: string;
  /** Paths of the packages that it asks for itself, as they are resolved from there. */
  readonly dependsOn: readonly string[];
  /** Runs a script of its own when it is installed. */
  readonly installScript: boolean;
}

export interface Lock {
  readonly file: string;
  readonly packages: readonly LockedPackage[];
  /** Paths that the project itself asks for; empty where the lock does not tell. */
  readonly roots: readonly string[];
  /** Whether `dependsOn` is known. */
  readonly hasGraph: boolean;
}

export const SEVERITIES = ['low', 'medium', 'high', 'critical'] as const;
export type VulnerabilitySeverity = (typeof SEVERITIES)[number];

/** One vulnerability of one package version; the other names that databases give it are joined. */
export interface Vulnerability {
  /** The first of its names: MAL-, then CVE-, then GHSA-, then others. */
  readonly id: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  /** null: nobody has judged it; it counts as high. */
  readonly severity: VulnerabilitySeverity | null;
  readonly malicious: boolean;
  readonly ecosystem: Ecosystem;
  readonly package: string;
  readonly version: string;
  /** First version that has the repair, where one is named. */
  readonly fixedIn: string | null;
}

/** A record of a vulnerability database (OSV schema 1.x); only what is read here. */
export interface OsvRecord {
  readonly id: string;
  readonly modified?: string;
  readonly withdrawn?: string;
  readonly aliases?: readonly string[];
  readonly summary?: string;
  readonly details?: string;
  readonly severity?: readonly { readonly type: string; readonly score: string }[];
  readonly database_specific?: Readonly<Record<string, unknown>>;
  readonly affected?: readonly OsvAffected[];
}

export interface OsvAffected {
  readonly package?: { readonly ecosystem?: string; readonly name?: string };
  readonly versions?: readonly string[];
  readonly ranges?: readonly { readonly type?: string; readonly events?: readonly Readonly<Record<string, string>>[] }[];
  readonly severity?: readonly { readonly type: string; readonly score: string }[];
  readonly database_specific?: Readonly<Record<string, unknown>>;
}
