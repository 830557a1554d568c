import type { Lock, LockedPackage } from '../types.ts';
import type { Inventory, NativeBinary } from './inventory.ts';
import { datasetComponents, modelComponent, modelRef } from './model-component.ts';
import { datasetRef, hashOf, type Json, licences, packageUrl } from './names.ts';

export const CYCLONEDX_VERSIONS = ['1.6', '1.7'] as const;
export type CycloneDxVersion = (typeof CYCLONEDX_VERSIONS)[number];

/** A CycloneDX bill (ECMA-424; docs/spec/security.md §15). Each reference names a component of the bill. */
export function cycloneDx(inventory: Inventory, specVersion: CycloneDxVersion): Json {
  const { product, npm, python, binaries, models, subject, createdAt, serial } = inventory;
  const productRef = packageUrl({ ecosystem: 'npm', ...product });
  const itself = {
    type: 'application',
    'bom-ref': productRef,
    name: product.name,
    version: product.version,
    purl: productRef,
    licenses: licences(product.licence),
  };
  const entries = models.map((model) => modelComponent(model, models));
  const main = subject === null ? null : entries.find((entry) => entry['bom-ref'] === modelRef(models.find(({ id }) => id === subject)!));
  const others = entries.filter((entry) => entry !== main);
  const components = [
    ...(npm?.packages ?? []).map(packageComponent),
    ...(python?.packages ?? []).map(packageComponent),
    ...binaries.map((binary) => binaryComponent(binary, specVersion)),
    ...others,
    ...datasetComponents(models),
  ];
  const modelEdges = models.map((model) => ({ ref: modelRef(model), dependsOn: model.datasets.map(datasetRef) }));
  const python_ = python?.packages ?? [];
  const rootEdges = [
    ...(npm?.roots ?? []).map(npmRef),
    // Where nobody tells which packages are wanted for themselves, all that no other one asks for are.
    ...python_.filter(({ path }) => !python_.some((other) => other.dependsOn.includes(path))).map(({ path }) => pythonRef(path)),
    ...binaries.map(binaryRef),
    ...(subject === null ? models.map(modelRef) : []),
  ];
  const dependencies = [
    ...(subject === null ? [{ ref: productRef, dependsOn: unique(rootEdges) }] : []),
    ...(npm?.packages ?? []).map(edgesOf),
    ...python_.map(edgesOf),
    ...binaries.map((binary) => ({ ref: binaryRef(binary), dependsOn: [] as string[] })),
    ...modelEdges,
    ...unique(models.flatMap(({ datasets }) => datasets)).map((name) => ({ ref: datasetRef(name), dependsOn: [] as string[] })),
  ];
  return {
    $schema: `http://cyclonedx.org/schema/bom-${specVersion}.schema.json`,
    bomFormat: 'CycloneDX',
    specVersion,
    serialNumber: `urn:uuid:${serial}`,
    version: 1,
    metadata: {
      timestamp: createdAt,
      tools: { components: [{ type: 'application', name: product.name, version: product.version }] },
      component: main ?? itself,
    },
    components,
    dependencies,
    compositions: compositions(inventory, productRef),
  };
}

const unique = <T>(items: readonly T[]): T[] => [...new Set(items)];
const npmRef = (path: string): string => `npm:${path}`;
const pythonRef = (path: string): string => `pypi:${path}`;
const refOf = ({ ecosystem, path }: LockedPackage): string => (ecosystem === 'npm' ? npmRef(path) : pythonRef(path));
const binaryRef = ({ name }: NativeBinary): string => `file:${name}`;

const edgesOf = (each: LockedPackage): { ref: string; dependsOn: string[] } => ({
  ref: refOf(each),
  dependsOn: each.dependsOn.map(each.ecosystem === 'npm' ? npmRef : pythonRef),
});

function packageComponent(each: LockedPackage): Json {
  const hash = hashOf(each.integrity);
  const [scope, plain] = each.name.startsWith('@') ? (each.name.split('/') as [string, string]) : [null, each.name];
  return {
    type: 'library',
    'bom-ref': refOf(each),
    ...(scope === null ? {} : { group: scope }),
    name: plain,
    version: each.version,
    scope: each.scope,
    ...(hash === null ? {} : { hashes: [hash] }),
    ...(each.licence === null ? {} : { licenses: licences(each.licence) }),
    purl: packageUrl(each),
  };
}

function binaryComponent({ name, owner, version, sha256, buildId, ...rest }: NativeBinary, specVersion: CycloneDxVersion): Json {
  return {
    type: owner === 'runtime' ? 'platform' : 'file',
    'bom-ref': binaryRef({ name, owner, version, sha256, buildId, ...rest }),
    name,
    ...(version === null ? {} : { version }),
    // The runtime is the machine's, or another package's.
    ...(specVersion === '1.7' && owner === 'runtime' ? { isExternal: true } : {}),
    hashes: [{ alg: 'SHA-256', content: sha256 }],
    ...(buildId === null ? {} : { properties: [{ name: 'hearth:build-id', value: buildId }] }),
  };
}

/** What is known to be all, and what may not be. */
function compositions({ npm, python, models, subject }: Inventory, productRef: string): readonly Json[] {
  const graph = (lock: Lock | null, ref: (path: string) => string) => (lock?.packages ?? []).map(({ path }) => ref(path));
  const complete = npm === null || npm.packages.some(({ integrity }) => integrity !== null);
  const list = [
    ...(subject === null ? [{ aggregate: complete ? 'complete' : 'incomplete', assemblies: [productRef], dependencies: graph(npm, npmRef) }] : []),
    ...(python === null ? [] : [{ aggregate: python.hasGraph ? 'complete' : 'incomplete', dependencies: graph(python, pythonRef) }]),
    // All files of a model are listed; what it was trained on is what its card tells.
    ...(models.length === 0
      ? []
      : [
          { aggregate: 'complete', assemblies: models.map(modelRef) },
          { aggregate: 'incomplete', dependencies: models.map(modelRef) },
        ]),
  ];
  return list.filter((each) => ('assemblies' in each && each.assemblies.length > 0) || ('dependencies' in each && (each.dependencies?.length ?? 0) > 0));
}
