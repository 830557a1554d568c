import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DependencyReportJson, DependencyUpdateJson } from '../contract/index.ts';
import { HearthError, makePrivateDirectory, systemError, writeManagedFile } from '../core/index.ts';
import {
  askOsv,
  buildIdOf,
  checkDependencies,
  createSecurityLog,
  type DependencyReport,
  importVulnerabilities,
  type Lock,
  type NativeBinary,
  type OnlineOptions,
  openVulnerabilityDatabase,
  readExceptions,
  readInstalledPackages,
  readInstalledPython,
  readNpmLock,
  readPythonLock,
  type VulnerabilitySeverity,
} from '../security/index.ts';
import { type DependencyState, dependencyStatePath, findingKey, readDependencyState } from './dependency-state.ts';

export interface DependencyPlaces {
  readonly home: string;
  readonly cwd: string;
  readonly failOn: VulnerabilitySeverity;
  readonly nowMs: number;
  readonly signal: AbortSignal;
  /** Ask the service instead of the database on this disk. */
  readonly online: boolean;
  readonly osv?: Pick<OnlineOptions, 'endpoint' | 'network'>;
}

const databasePath = (home: string): string => join(home, 'state', 'vulnerabilities.sqlite');
const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));

/** What hearth itself is made of. Findings that are new since the last check become security events; metrics tell the last result. */
export async function checkOwnDependencies(places: DependencyPlaces): Promise<DependencyReportJson> {
  const report = await check(places, await ownLocks(places.home));
  await keepResult(places.home, report);
  return report;
}

/** Other locks that the user names. */
export async function checkLocks(places: DependencyPlaces, files: readonly string[]): Promise<DependencyReportJson> {
  return await check(places, await Promise.all(files.map((file) => readLock(resolve(places.cwd, file)))));
}

/** Indexes exports of a vulnerability database. */
export async function updateVulnerabilities(
  places: Pick<DependencyPlaces, 'home' | 'cwd' | 'signal'>,
  files: readonly string[],
  onRecord: (done: number, total: number) => void,
): Promise<DependencyUpdateJson> {
  const database = databasePath(places.home);
  const paths = files.map((file) => resolve(places.cwd, file));
  try {
    return { database, imported: await importVulnerabilities(database, paths, { signal: places.signal, onRecord }) };
  } catch (error) {
    throw systemError(error, (error as NodeJS.ErrnoException).path ?? database) ?? error;
  }
}

async function check({ home, failOn, nowMs, signal, online, osv }: DependencyPlaces, locks: readonly Lock[]): Promise<DependencyReport> {
  const exceptions = readExceptions(join(home, 'deps-exceptions.json'));
  if (online) {
    const records = await askOsv(locks, { signal, ...osv });
    return checkDependencies({ locks, knowledge: { kind: 'online', records, states: [] }, exceptions, failOn, nowMs });
  }
  const database = openVulnerabilityDatabase(databasePath(home));
  try {
    const knowledge = { kind: 'database' as const, records: database?.records ?? (() => []), states: database?.states() ?? [] };
    return checkDependencies({ locks, knowledge, exceptions, failOn, nowMs });
  } finally {
    database?.close();
  }
}

async function ownLocks(home: string): Promise<readonly Lock[]> {
  return [await ownPackages(), ...(await pythonLocks(home))];
}

/** The packages of npm by the lock of the checkout, or by what is installed. */
export async function ownPackages(): Promise<Lock> {
  const path = join(PACKAGE, 'package-lock.json');
  const text = await readFile(path, 'utf8').catch(() => null);
  return text === null ? await readInstalledPackages(PACKAGE) : readNpmLock(text, path);
}

/** Locks of Python: the installed environment's alone where there is one that this version knows; else those that could become one. */
async function pythonLocks(home: string): Promise<readonly Lock[]> {
  const directory = join(PACKAGE, 'python', 'locks');
  const names = (await readdir(directory).catch(() => [])).filter((name) => name.startsWith(`mlx-${process.platform}-${process.arch}-`)).sort();
  const texts = await Promise.all(names.map(async (name) => ({ path: join(directory, name), text: await readFile(join(directory, name), 'utf8') })));
  const used = (await readFile(join(home, 'engines', 'mlx', 'current'), 'utf8').catch(() => '')).trim();
  const current = texts.filter(({ text }) =>
    createHash('sha256')
      .update(text)
      .digest('hex')
      .startsWith(used === '' ? 'none' : used),
  );
  return (current.length > 0 ? current : texts).map(({ path, text }) => readPythonLock(text, path));
}

/** The environment of Python that is installed, with what its packages ask for and its machine code; null: none. */
export async function installedPython(home: string): Promise<{ readonly lock: Lock; readonly binaries: readonly NativeBinary[] } | null> {
  const id = await readFile(join(home, 'engines', 'mlx', 'current'), 'utf8').then(
    (text) => text.trim(),
    () => '',
  );
  if (!/^[0-9a-f]{12}$/.test(id)) return null;
  const directory = join(home, 'engines', 'mlx', id);
  const packages = await readInstalledPython(directory);
  const manifest = JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8').catch(() => '{}')) as Readonly<Record<string, string>>;
  const digests = new Map((await pythonLocks(home)).flatMap((lock) => lock.packages.map(({ name, version, integrity }) => [`${name} ${version}`, integrity])));
  const native = Object.entries(manifest).filter(([path, digest]) => /\.(so|dylib)(\.[\d.]+)?$/.test(path) && /^[0-9a-f]{64}$/.test(digest));
  return {
    lock: { ...packages, packages: packages.packages.map((each) => ({ ...each, integrity: digests.get(`${each.name} ${each.version}`) ?? null })) },
    binaries: native.map(([path, sha256]) => ({ name: path, owner: 'python' as const, version: null, sha256, buildId: buildIdOf(join(directory, path)) })),
  };
}

async function readLock(path: string): Promise<Lock> {
  try {
    const text = await readFile(path, 'utf8');
    return text.trimStart().startsWith('{') ? readNpmLock(text, path) : readPythonLock(text, path);
  } catch (error) {
    throw error instanceof HearthError ? error : (systemError(error, path) ?? error);
  }
}

async function keepResult(home: string, report: DependencyReport): Promise<void> {
  const before = new Set(readDependencyState(home)?.known ?? []);
  const fresh = report.findings.filter((each) => !before.has(findingKey(each)));
  if (fresh.length > 0) {
    await using log = createSecurityLog({ home });
    for (const { id, aliases, package: name, version, ecosystem, severity, malicious, fixedIn } of fresh) {
      const details = { id, aliases, ecosystem, package: name, version, fixedIn };
      log.record({ event: 'dep.vuln.found', severity: severity ?? 'high', outcome: 'failed', reason: malicious ? 'malicious' : 'vulnerable', details });
    }
  }
  const counts = { low: 0, medium: 0, high: 0, critical: 0 };
  for (const { severity } of report.findings) counts[severity ?? 'high'] += 1;
  const state: DependencyState = {
    v: 1,
    checkedAt: report.checkedAt,
    ok: report.ok,
    counts,
    newest: report.source === 'online' ? [report.checkedAt] : report.database.map(({ newest }) => newest),
    known: report.findings.map(findingKey),
  };
  await makePrivateDirectory(join(home, 'state'));
  await writeManagedFile(dependencyStatePath(home), `${JSON.stringify(state)}\n`);
}
