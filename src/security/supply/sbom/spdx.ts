import { createHash } from 'node:crypto';
import type { LockedPackage } from '../types.ts';
import type { Inventory, ModelEntry, NativeBinary } from './inventory.ts';
import { hashOf, type Json, licenceExpression, modelUrl, packageUrl } from './names.ts';

/** An SPDX 2.3 document in JSON: the same packages, files and edges. Models are packages; their files are files. */
export function spdx({ product, npm, python, binaries, models, subject, createdAt, serial }: Inventory): Json {
  const locked = [...(npm?.packages ?? []), ...(python?.packages ?? [])];
  const subjectModel = models.find(({ id }) => id === subject);
  const mainId = subjectModel === undefined ? 'SPDXRef-hearth' : modelId(subjectModel);
  const fileEntries = models.flatMap((model) => model.files.map((file) => ({ model, file, id: idOf('file', `${model.id}#${file.path}`) })));
  const edge = (from: string, type: string, to: string): Json => ({ spdxElementId: from, relationshipType: type, relatedSpdxElement: to });
  const byPath = new Map(locked.map((each) => [`${each.ecosystem} ${each.path}`, each]));
  const roots = new Set([...(npm?.roots ?? []).map((path) => `npm ${path}`), ...(python?.packages ?? []).map(({ path }) => `PyPI ${path}`)]);
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: subject ?? `${product.name}-${product.version}`,
    documentNamespace: `urn:uuid:${serial}`,
    creationInfo: { created: createdAt.replace(/\.\d+Z$/, 'Z'), creators: [`Tool: ${product.name}-${product.version}`] },
    packages: [
      ...(subjectModel === undefined
        ? [
            {
              ...base('SPDXRef-hearth', product.name, product.version, product.licence),
              primaryPackagePurpose: 'APPLICATION',
              externalRefs: [purlRef(packageUrl({ ecosystem: 'npm', ...product }))],
            },
          ]
        : []),
      ...locked.map(lockedPackage),
      ...binaries.map(binaryPackage),
      ...models.map(modelPackage),
    ],
    files: fileEntries.map(({ file, id }) => ({
      SPDXID: id,
      fileName: `./${file.path}`,
      checksums: [{ algorithm: 'SHA256', checksumValue: file.sha256 }],
    })),
    relationships: [
      edge('SPDXRef-DOCUMENT', 'DESCRIBES', mainId),
      ...[...roots].flatMap((key) => (byPath.has(key) ? [edge('SPDXRef-hearth', 'DEPENDS_ON', packageId(byPath.get(key)!))] : [])),
      ...locked.flatMap((each) => each.dependsOn.map((path) => edge(packageId(each), 'DEPENDS_ON', packageId(byPath.get(`${each.ecosystem} ${path}`)!)))),
      ...binaries.map((binary) => edge('SPDXRef-hearth', binary.owner === 'product' ? 'CONTAINS' : 'DEPENDS_ON', binaryId(binary))),
      ...(subjectModel === undefined ? models.map((model) => edge('SPDXRef-hearth', 'DEPENDS_ON', modelId(model))) : []),
      ...fileEntries.map(({ model, id }) => edge(modelId(model), 'CONTAINS', id)),
    ],
    ...extracted([...locked.map(({ licence }) => licence), ...models.map(({ licence }) => licence)]),
  };
}

/** Ids take letters, digits, dots and hyphens; the digest keeps apart what is spelled alike after that. */
const idOf = (kind: string, name: string): string =>
  `SPDXRef-${kind}-${name.replaceAll(/[^A-Za-z0-9.-]+/g, '-').slice(-80)}-${createHash('sha256').update(name).digest('hex').slice(0, 8)}`;
const packageId = ({ ecosystem, path }: LockedPackage): string => idOf(ecosystem, path);
const modelId = ({ id, revision }: ModelEntry): string => idOf('model', `${id}@${revision}`);
const binaryId = ({ name }: NativeBinary): string => idOf('binary', name);

const licenceRef = (text: string): string => `LicenseRef-${text.replaceAll(/[^A-Za-z0-9.-]+/g, '-').slice(0, 60)}`;

const base = (id: string, name: string, version: string | null, licence: string | null): Json => ({
  SPDXID: id,
  name,
  ...(version === null ? {} : { versionInfo: version }),
  downloadLocation: 'NOASSERTION',
  filesAnalyzed: false,
  licenseConcluded: 'NOASSERTION',
  licenseDeclared: licence === null ? 'NOASSERTION' : (licenceExpression(licence) ?? licenceRef(licence)),
  copyrightText: 'NOASSERTION',
});

const purlRef = (purl: string): Json => ({ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl });

function lockedPackage(each: LockedPackage): Json {
  const hash = hashOf(each.integrity);
  return {
    ...base(packageId(each), each.name, each.version, each.licence),
    primaryPackagePurpose: 'LIBRARY',
    ...(hash === null ? {} : { checksums: [{ algorithm: hash.alg.replace('-', ''), checksumValue: hash.content }] }),
    externalRefs: [purlRef(packageUrl(each))],
  };
}

const binaryPackage = (binary: NativeBinary): Json => ({
  ...base(binaryId(binary), binary.name, binary.version, null),
  primaryPackagePurpose: 'FILE',
  checksums: [{ algorithm: 'SHA256', checksumValue: binary.sha256 }],
  ...(binary.buildId === null ? {} : { comment: `build id ${binary.buildId}` }),
});

const modelPackage = (model: ModelEntry): Json => ({
  ...base(modelId(model), model.id, model.revision, model.licence),
  primaryPackagePurpose: 'OTHER',
  ...(model.rootDigest === null ? {} : { checksums: [{ algorithm: 'SHA256', checksumValue: model.rootDigest }] }),
  externalRefs: [purlRef(modelUrl(model))],
  ...(model.baseModels.length === 0 ? {} : { comment: `Made from ${model.baseModels.join(', ')}.` }),
});

/** Licences that SPDX has no name for need a text; the name is all that is known here. */
function extracted(all: readonly (string | null)[]): Json {
  const names = [...new Set(all.filter((text) => text !== null && licenceExpression(text) === null))] as string[];
  const infos = new Map(
    names.map((name) => [licenceRef(name), { licenseId: licenceRef(name), name, extractedText: `Named "${name}" by its author; see the package.` }]),
  );
  return infos.size === 0 ? {} : { hasExtractedLicensingInfos: [...infos.values()] };
}
