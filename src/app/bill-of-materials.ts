import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ShowData } from '../contract/index.ts';
import { HearthError, isHearthError } from '../core/index.ts';
import { readAdapterConfig } from '../formats/index.ts';
import {
  buildIdOf,
  type CycloneDxVersion,
  cycloneDx,
  hashAll,
  type Inventory,
  type ModelEntry,
  type ModelFileEntry,
  type NativeBinary,
  spdx,
} from '../security/index.ts';
import { installedPython, ownPackages } from './dependencies.ts';
import { cardFacts } from './model-card-facts.ts';
import { placeOfModel, type SigningPlaces } from './model-signing.ts';

export interface BillRequest extends SigningPlaces {
  readonly version: string;
  /** What `show` tells of each model that the bill holds. */
  readonly models: readonly ShowData[];
  /** The bill is that of the one model. */
  readonly onlyModel: boolean;
  readonly form: { readonly kind: 'cyclonedx'; readonly version: CycloneDxVersion } | { readonly kind: 'spdx' };
  readonly signal: AbortSignal;
  readonly onProgress?: (bytes: number) => void;
}

/** The bill of materials of this hearth: its packages, the Python environment, machine code, models; or of one model. Every file is hashed as it is. */
export async function billOfMaterials(request: BillRequest): Promise<Readonly<Record<string, unknown>>> {
  const { version, onlyModel, form } = request;
  const [npm, python] = onlyModel ? [null, null] : await Promise.all([ownPackages(), installedPython(request.home)]);
  const models: ModelEntry[] = [];
  for (const each of request.models) models.push(await modelEntry(each, request));
  if (!onlyModel) models.push(...(await adapterEntries(request)));
  const inventory: Inventory = {
    product: { name: 'hearth', version, licence: 'Apache-2.0' },
    npm,
    python: python?.lock ?? null,
    binaries: onlyModel ? [] : [...(await ownBinaries(request)), ...(python?.binaries ?? [])],
    models,
    subject: onlyModel ? (models[0]?.id ?? null) : null,
    createdAt: new Date().toISOString(),
    serial: randomUUID(),
  };
  return form.kind === 'spdx' ? spdx(inventory) : cycloneDx(inventory, form.version);
}

async function modelEntry(show: ShowData, request: BillRequest): Promise<ModelEntry> {
  const { model, metadata, trust, workspace_metadata: sentinel } = show;
  const directory = await directoryOf(show, request);
  const files = directory === null ? [] : await hashedFiles(directory, request);
  const card = await cardOf(directory ?? '', files);
  const source = model.origin ?? null;
  const inCache = model.cached && /^[\w.-]+\/[\w.-]+$/.test(model.name);
  // What came out of a package index is named so that it is no name of the hub.
  const hubName = inCache && !model.name.startsWith('pypi-') ? model.name : null;
  const bases = [...card.baseModels, ...(source === null || source === model.name ? [] : [source])];
  const { bits, group_size: group } = (model.quantization ?? {}) as { bits?: number; group_size?: number };
  return {
    id: model.name,
    revision: model.hash,
    hubName,
    cardUrl: hubName === null ? null : `${request.config.hub.endpoint.replace(/\/+$/, '')}/${hubName}`,
    format: model.framework,
    task: card.task ?? model.capabilities[0] ?? null,
    architectureFamily: metadata?.model_type ?? null,
    architecture: metadata?.architecture ?? null,
    quantization: metadata?.quantization ?? (bits === undefined ? null : `${bits} bits${group === undefined ? '' : `, groups of ${group}`}`),
    licence: card.licence,
    baseModels: [...new Set(bases)],
    datasets: card.datasets,
    metrics: card.metrics,
    notes:
      sentinel === null || sentinel === undefined || Object.keys(sentinel).length === 0
        ? null
        : `Kept by hearth as ${basename(model.name)}${source === null ? '' : `, from ${source}`}.`,
    rootDigest: trust?.root_digest ?? null,
    templates: trust?.templates ?? [],
    files,
  };
}

/** Adapters of the home. Each is a model of its own, made from its base; one that cannot be read is listed with what it holds. */
async function adapterEntries(request: BillRequest): Promise<ModelEntry[]> {
  const home = join(request.home, 'adapters');
  const names = (await readdir(home, { withFileTypes: true }).catch(() => [])).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const entries: ModelEntry[] = [];
  for (const name of names.sort()) {
    const directory = join(home, name);
    const files = await hashedFiles(directory, request);
    const config = has(files, 'adapter_config.json') ? await readAdapterConfig(directory).catch(() => null) : null;
    const card = await cardOf(directory, files);
    entries.push({
      id: `adapters/${name}`,
      revision: null,
      hubName: null,
      cardUrl: null,
      format: config === null ? 'adapter' : `${config.kind} adapter (${config.form})`,
      task: card.task,
      architectureFamily: null,
      architecture: null,
      quantization: null,
      licence: card.licence,
      baseModels: [...new Set([...(config?.baseModel ? [config.baseModel] : []), ...card.baseModels])],
      datasets: card.datasets,
      metrics: card.metrics,
      notes: null,
      rootDigest: null,
      templates: [],
      files,
    });
  }
  return entries;
}

/** Of the files that were hashed, so that nothing waits for a pipe of that name. */
const has = (files: readonly ModelFileEntry[], name: string): boolean => files.some(({ path }) => path === name);
const cardOf = async (directory: string, files: readonly ModelFileEntry[]) =>
  cardFacts(has(files, 'README.md') ? await readFile(join(directory, 'README.md'), 'utf8').catch(() => '') : '');

/** null: the cache has the name, and no files. */
async function directoryOf({ model }: ShowData, request: BillRequest): Promise<string | null> {
  const reference = model.cached && model.hash !== null ? `${model.name}@${model.hash}` : model.name;
  try {
    return (await placeOfModel(request, reference)).directory;
  } catch (error) {
    if (isHearthError(error) && error.code === 'snapshots_not_found') return null;
    throw error;
  }
}

async function hashedFiles(place: string, { signal, onProgress }: BillRequest): Promise<ModelFileEntry[]> {
  const single = (await stat(place)).isFile();
  const entries = single ? [] : await readdir(place, { recursive: true, withFileTypes: true });
  const paths = single ? [place] : entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  const work = await Promise.all(
    paths.map(async (path) => {
      // The cache links into its blobs.
      const source = await realpath(path);
      return { path: single ? basename(path) : relative(place, path).split(sep).join('/'), source, facts: await stat(source) };
    }),
  );
  const regular = work.filter(({ facts }) => facts.isFile()).sort((a, b) => (a.path < b.path ? -1 : 1));
  const results = await hashAll(
    regular.map(({ source, facts }) => ({ source, identity: null, sizeBytes: facts.size, algorithm: 'sha256' as const })),
    { signal, ...(onProgress === undefined ? {} : { onProgress }) },
  );
  return results.map((result, i) => {
    const { path, source, facts } = regular[i]!;
    if (result.kind !== 'hashed') throw new HearthError('file_system_error', `${source} changed while it was read, or cannot be read.`);
    return { path, sizeBytes: facts.size, sha256: result.digest };
  });
}

/** Our kernels, and the program that runs them. */
async function ownBinaries({ version, signal }: BillRequest): Promise<NativeBinary[]> {
  const kernels = ['ember/ember.wasm', 'formats/formats.wasm']
    .map((name) => ({ name, path: fileURLToPath(new URL(`../${name}`, import.meta.url)) }))
    .filter(({ path }) => existsSync(path))
    .map((each) => ({ ...each, owner: 'product' as const, version }));
  const runtime = { name: 'node', path: await realpath(process.execPath), owner: 'runtime' as const, version: process.versions.node };
  const all = [...kernels, runtime];
  const work = await Promise.all(
    all.map(async ({ path }) => ({ source: path, identity: null, sizeBytes: (await stat(path)).size, algorithm: 'sha256' as const })),
  );
  const hashes = await hashAll(work, { signal });
  return all.map(({ path, ...each }, i) => {
    const result = hashes[i]!;
    if (result.kind !== 'hashed') throw new HearthError('file_system_error', `${path} cannot be read.`);
    return { ...each, sha256: result.digest, buildId: buildIdOf(path) };
  });
}
