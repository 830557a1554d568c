import type { ModelFile, ModelView } from '../model-view.ts';
import { checkAuxiliaryFiles } from './auxiliary-files.ts';
import { isObject } from './json-value.ts';
import { findPointers } from './lfs-pointer.ts';
import { checkIndexedWeights, checkPlainWeights, weightFilesOf } from './weight-files.ts';

/** Integrity of one model (docs/spec/store.md §4): files only, no weight data. `reason` is the first failure, or what was found whole. */
export interface HealthVerdict {
  readonly healthy: boolean;
  readonly reason: string;
}

export const unhealthy = (reason: string): HealthVerdict => ({ healthy: false, reason });

/** The fast checks, in the order of the specification. */
export async function checkHealth(view: ModelView): Promise<HealthVerdict> {
  const verdict = await checkFiles(view);
  const link = view.refused.find((path) => /(^config\.json|\.gguf|\.safetensors)$/.test(path));
  if (verdict.healthy || link === undefined) return verdict;
  return unhealthy(`${verdict.reason}; ${link} is a link that leads nowhere or out of the model's directory`);
}

async function checkFiles(view: ModelView): Promise<HealthVerdict> {
  const config = await view.json('config.json');
  const ggufOnly = config.kind === 'missing' && (await isWholeGguf(view));
  if (!ggufOnly) {
    if (config.kind === 'missing') return unhealthy('config.json missing');
    if (config.kind === 'invalid' && (await view.text('config.json')) === null) return unhealthy('config.json cannot be read');
    if (config.kind === 'invalid') return unhealthy('config.json contains invalid JSON');
    if (!isObject(config.value) || Object.keys(config.value).length === 0) return unhealthy('config.json is empty or invalid');
  }
  const marker = view.files.find((file) => /\.(partial|tmp|incomplete)$/.test(file.path));
  if (marker !== undefined) return unhealthy(`Partial download marker detected: ${marker.path}`);
  const indexName = indexFileName(view.files);
  const indexed = indexName !== null && view.find(indexName) !== undefined;
  const weights = indexed ? await checkIndexedWeights(view, indexName) : checkPlainWeights(view);
  if (weights !== null) return unhealthy(weights);
  const pointers = indexed
    ? []
    : await findPointers(
        view,
        view.files.map((file) => file.path),
      );
  if (pointers.length > 0) return unhealthy(`LFS pointers instead of files: ${pointers.join(', ')}`);
  const auxiliary = await checkAuxiliaryFiles(view);
  if (auxiliary !== null) return unhealthy(auxiliary);
  return { healthy: true, reason: indexed ? 'Multi-file model complete' : 'Model is healthy' };
}

function indexFileName(files: readonly ModelFile[]): string | null {
  if (files.some((file) => file.path.endsWith('.safetensors'))) return 'model.safetensors.index.json';
  if (files.some((file) => file.path.endsWith('.bin'))) return 'pytorch_model.bin.index.json';
  // An index whose shards are all absent still says what is missing.
  return ['model.safetensors.index.json', 'pytorch_model.bin.index.json'].find((name) => files.some((file) => file.path === name)) ?? null;
}

/** A model without config.json passes when its weights are GGUF files with a valid head: their headers are the configuration. */
async function isWholeGguf(view: ModelView): Promise<boolean> {
  const weights = weightFilesOf(view);
  if (weights.length === 0 || weights.some((file) => !file.path.endsWith('.gguf'))) return false;
  for (const file of weights) if (!(await hasGgufHead(view, file.path))) return false;
  return true;
}

/** Magic `GGUF` and version 2 or 3, little-endian. */
export async function hasGgufHead(view: ModelView, path: string): Promise<boolean> {
  const head = await view.head(path, 8);
  if (head.length < 8 || new TextDecoder('latin1').decode(head.subarray(0, 4)) !== 'GGUF') return false;
  const version = new DataView(head.buffer, head.byteOffset).getUint32(4, true);
  return version === 2 || version === 3;
}
