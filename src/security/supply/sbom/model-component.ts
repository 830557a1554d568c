import type { ModelEntry } from './inventory.ts';
import { datasetRef, type Json, licences, modelUrl } from './names.ts';

export const modelRef = ({ id, revision }: Pick<ModelEntry, 'id' | 'revision'>): string => `model:${id}${revision === null ? '' : `@${revision}`}`;

/** Documents about the model that lie beside it, by the names that they go under. */
const DOCUMENTS: readonly (readonly [type: string, name: RegExp])[] = [
  ['digital-signature', /(^|\/)(model\.sig|[^/]*\.sigstore(\.json)?)$/],
  ['attestation', /\.intoto\.jsonl?$/],
  ['bom', /\.cdx\.json$/],
];

/** A model as a component, with its files below it, where it comes from, and what its card tells. `all`: the others of the bill, for its relatives. */
export function modelComponent(model: ModelEntry, all: readonly ModelEntry[]): Json {
  const { revision, cardUrl, licence, rootDigest, templates, files, format, quantization } = model;
  const ref = modelRef(model);
  const references = [
    ...(cardUrl === null ? [] : [{ type: 'model-card', url: cardUrl }]),
    ...DOCUMENTS.flatMap(([type, name]) =>
      files.filter(({ path }) => name.test(path)).map(({ path, sha256 }) => ({ type, url: path, hashes: [{ alg: 'SHA-256', content: sha256 }] })),
    ),
  ];
  const properties = [
    { name: 'hearth:format', value: format },
    ...(quantization === null ? [] : [{ name: 'hearth:quantization', value: quantization }]),
    // Over the digests of all files, as a signature binds them.
    ...(rootDigest === null ? [] : [{ name: 'hearth:root-digest', value: rootDigest }]),
    ...templates.map(({ file, sha256 }) => ({ name: `hearth:chat-template:${file}`, value: `sha256:${sha256}` })),
  ];
  return {
    type: 'machine-learning-model',
    'bom-ref': ref,
    ...nameOf(model),
    ...(revision === null ? {} : { version: revision }),
    // A model of one weight file is that file.
    hashes: [{ alg: 'SHA-256', content: rootDigest ?? weightsOf(model)?.sha256 ?? '' }].filter(({ content }) => content !== ''),
    ...(licence === null ? {} : { licenses: licences(licence) }),
    purl: modelUrl(model),
    ...(references.length === 0 ? {} : { externalReferences: references }),
    ...pedigree(model, all),
    modelCard: modelCard(model),
    components: files.map(({ path, sha256, sizeBytes }) => ({
      type: 'file',
      'bom-ref': `${ref}#${path}`,
      name: path,
      hashes: [{ alg: 'SHA-256', content: sha256 }],
      properties: [{ name: 'hearth:size-bytes', value: String(sizeBytes) }],
    })),
    properties,
  };
}

const weightsOf = ({ files }: ModelEntry) => {
  const weights = files.filter(({ path }) => /\.(safetensors|gguf)$/i.test(path));
  return weights.length === 1 ? weights[0] : undefined;
};

function nameOf({ id }: ModelEntry): Json {
  const at = id.lastIndexOf('/');
  return id.startsWith('/') || at < 0 ? { name: id } : { group: id.slice(0, at), name: id.slice(at + 1) };
}

/** Its base, its other forms in this bill, its commit. */
function pedigree(model: ModelEntry, all: readonly ModelEntry[]): Json {
  const { baseModels, revision, cardUrl, notes } = model;
  const ancestors = baseModels.map((name) => relative(`${modelRef(model)}!base:${name}`, name));
  const variants = all
    .filter((other) => other.id !== model.id && (other.baseModels.includes(model.id) || other.baseModels.some((name) => baseModels.includes(name))))
    .map((other) => relative(`${modelRef(model)}!variant:${modelRef(other)}`, other.id, other.revision));
  const commits = revision === null ? [] : [{ uid: revision, ...(cardUrl === null ? {} : { url: `${cardUrl}/commit/${revision}` }) }];
  if (ancestors.length + variants.length + commits.length === 0 && notes === null) return {};
  return {
    pedigree: {
      ...(ancestors.length === 0 ? {} : { ancestors }),
      ...(variants.length === 0 ? {} : { variants }),
      ...(commits.length === 0 ? {} : { commits }),
      ...(notes === null ? {} : { notes }),
    },
  };
}

const relative = (ref: string, id: string, revision: string | null = null): Json => {
  const hubName = /^[\w.-]+\/[\w.-]+$/.test(id) ? id : null;
  const purl = modelUrl({ id, revision, hubName });
  return { type: 'machine-learning-model', 'bom-ref': ref, name: id, ...(revision === null ? {} : { version: revision }), purl };
};

function modelCard({ task, architectureFamily, architecture, datasets, metrics }: ModelEntry): Json {
  const text = task === 'text-generation';
  return {
    modelParameters: {
      // Language models learn to continue text.
      ...(text ? { approach: { type: 'self-supervised' }, inputs: [{ format: 'text' }], outputs: [{ format: 'text' }] } : {}),
      ...(task === null ? {} : { task }),
      ...(architectureFamily === null ? {} : { architectureFamily }),
      ...(architecture === null ? {} : { modelArchitecture: architecture }),
      ...(datasets.length === 0 ? {} : { datasets: datasets.map((name) => ({ ref: datasetRef(name) })) }),
    },
    ...(metrics.length === 0
      ? {}
      : { quantitativeAnalysis: { performanceMetrics: metrics.map(({ slice, ...each }) => ({ ...each, ...(slice === null ? {} : { slice }) })) } }),
  };
}

/** Each data set that a card names, once. */
export const datasetComponents = (models: readonly ModelEntry[]): readonly Json[] =>
  [...new Set(models.flatMap(({ datasets }) => datasets))].map((name) => ({
    type: 'data',
    'bom-ref': datasetRef(name),
    name,
    data: [{ type: 'dataset', name }],
  }));
