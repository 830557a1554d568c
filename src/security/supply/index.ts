// Owns: what hearth is made of: locks, installed packages, known vulnerabilities of them, bills of materials.
// Refuses: installing or mending anything; the network, unless the caller asks for the online form.
// Called by: app.

export { buildIdOf } from './build-id.ts';
export {
  CHECK_FAULTS,
  type CheckFault,
  type CheckOptions,
  checkDependencies,
  type DependencyFinding,
  type DependencyReport,
  MAX_DATABASE_AGE_DAYS,
} from './check-dependencies.ts';
export { type EcosystemState, type ImportReport, importVulnerabilities, openVulnerabilityDatabase, type VulnerabilityDatabase } from './database.ts';
export { type DependencyException, readExceptions } from './exceptions.ts';
export { readInstalledPackages } from './installed-npm.ts';
export { readInstalledPython } from './installed-python.ts';
export { LOCK_PROBLEMS, type LockProblem, type LockRules, lockProblems } from './lock-rules.ts';
export { readNpmLock } from './npm-lock.ts';
export { askOsv, type OnlineOptions, OSV_ENDPOINT } from './online.ts';
export { readPythonLock } from './python-lock.ts';
export { CYCLONEDX_VERSIONS, type CycloneDxVersion, cycloneDx } from './sbom/cyclonedx.ts';
export type { Inventory, ModelEntry, ModelFileEntry, NativeBinary } from './sbom/inventory.ts';
export { spdx } from './sbom/spdx.ts';
export type { Ecosystem, Lock, LockedPackage, Vulnerability, VulnerabilitySeverity } from './types.ts';
