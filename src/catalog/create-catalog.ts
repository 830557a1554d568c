import type { PackageSource } from '../store/index.ts';
import { parseCatalog } from './load.ts';
import bundled from './models.json' with { type: 'json' };
import type { CatalogEntry, CatalogSource } from './schema.ts';

export interface Catalog {
  /** Sorted by family, then parameters. */
  readonly entries: readonly CatalogEntry[];
  find(id: string): CatalogEntry | null;
  /** Ids close to a mistyped one, the closest first, at most three. */
  nearest(id: string): readonly string[];
}

/** The bundled catalog. User entries and live hub listings are not read by this version. */
export function createCatalog(data: unknown = bundled, file = 'catalog/models.json'): Catalog {
  const entries = parseCatalog(file, data);
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  return {
    entries,
    find: (id) => byId.get(id.toLowerCase()) ?? null,
    nearest: (id) => nearestIds(id.toLowerCase(), [...byId.keys()]),
  };
}

/** What a pull of a catalog id tries: the hub repository, and the package that stands in when the hub cannot be reached. */
export interface PullPlan {
  readonly repo: string;
  readonly secondSource: PackageSource | null;
  /** Cache names under which the model may already be here, preferred first. */
  readonly cacheNames: readonly string[];
}

/** `quant` such as `int4`; null when the entry has no such source. Without: the first source. */
export function planPull(entry: CatalogEntry, quant?: string): PullPlan | null {
  const onHub = entry.sources.filter((source) => source.package === undefined);
  const chosen = quant === undefined ? onHub[0] : onHub.find((source) => source.quant === quant);
  if (chosen === undefined) return null;
  const packaged = entry.sources.map(toPackageSource).find((source) => source !== null) ?? null;
  const secondSource = quant === undefined ? packaged : null;
  return { repo: chosen.repo, secondSource, cacheNames: [chosen.repo, ...(secondSource === null ? [] : [secondSource.repository])] };
}

function toPackageSource(source: CatalogSource): PackageSource | null {
  const file = source.files?.[0];
  if (source.package === undefined || file === undefined) return null;
  return {
    repository: source.repo,
    packageName: source.package.name,
    version: source.package.version,
    wheelSha256: source.package.wheelSha256,
    fileName: file.path,
    fileSha256: file.sha256,
    fileBytes: file.sizeBytes,
  };
}

const MAX_DISTANCE = 4;

function nearestIds(id: string, ids: readonly string[]): string[] {
  return ids
    .map((candidate) => ({ candidate, distance: candidate.startsWith(id) ? 0.5 : editDistance(id, candidate) }))
    .filter((scored) => scored.distance <= MAX_DISTANCE)
    .sort((a, b) => a.distance - b.distance || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, 3)
    .map((scored) => scored.candidate);
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length]!;
}
