import { createHash } from 'node:crypto';
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HearthError, type ModelFacts } from '../../core/index.ts';
import { CONVERTER_VERSION, ggufPartPaths, needsRewrite, readModelConfig } from '../../formats/index.ts';
import { runConversion } from './run-conversion.ts';

/** What has to be done to a model once before the loader of MLX checkpoints knows it (docs/spec/formats.md §8.4, docs/spec/engines.md §2.9). */
export interface Conversion {
  /** Names source, converter and options: 32 hex digits. */
  readonly key: string;
  run(destination: string, onProgress: (doneBytes: number, totalBytes: number) => void, signal: AbortSignal): Promise<void>;
}

export interface ConversionOptions {
  readonly quantize?: 4 | 8 | undefined;
}

/** null: the files are an MLX checkpoint as they are. */
export async function conversionOf(facts: ModelFacts, options: ConversionOptions): Promise<Conversion | null> {
  if (facts.framework === 'GGUF') {
    const file = ggufFile(facts);
    return {
      key: await conversionKey(await Promise.all(ggufPartPaths(file).map(resolveFile)), {}),
      run: (destination, onProgress, signal) => runConversion({ kind: 'import', source: file, destination }, onProgress, signal),
    };
  }
  const { quantize } = options;
  if (!(await mayNeedRewrite(facts, quantize)) || !(await needsRewrite(facts.directory, quantize))) return null;
  return {
    key: await conversionKey(await checkpointFiles(facts.directory), quantize === undefined ? {} : { quantize }),
    run: (destination, onProgress, signal) =>
      runConversion({ kind: 'rewrite', source: facts.directory, destination, ...(quantize === undefined ? {} : { quantize }) }, onProgress, signal),
  };
}

/** The facts of what a conversion wrote: quantised weights are smaller than those that the estimate was asked about. */
export async function convertedFacts(facts: ModelFacts, directory: string): Promise<ModelFacts> {
  const weightFiles = (await readdir(directory)).filter((name) => name.endsWith('.safetensors'));
  const sizes = await Promise.all(weightFiles.map(async (name) => (await stat(join(directory, name))).size));
  return {
    ...facts,
    directory,
    framework: 'MLX',
    config: await readModelConfig(directory),
    weightFiles,
    weightBytes: sizes.reduce((sum, size) => sum + size, 0),
  };
}

/** Checkpoints that say that MLX wrote them are not opened here, unless their numbers may change. */
async function mayNeedRewrite(facts: ModelFacts, quantize: number | undefined): Promise<boolean> {
  if (facts.config['quantization'] !== undefined) return false;
  return facts.framework !== 'MLX' || quantize !== undefined || facts.config['quantization_config'] !== undefined;
}

/** The file, or the first part of a split one, under its own name: a split model is known by it. */
function ggufFile(facts: ModelFacts): string {
  const files = facts.weightFiles.filter((file) => file.toLowerCase().endsWith('.gguf'));
  const sets = new Set(files.map((path) => ggufPartPaths(join(facts.directory, path))[0]!));
  const [file] = sets;
  if (file === undefined) throw new HearthError('model_load_failed', `${facts.directory} holds no GGUF file.`);
  if (sets.size > 1)
    throw new HearthError(
      'variant_required',
      `${facts.directory} holds ${sets.size} GGUF models (${[...sets].map((path) => basename(path)).join(', ')}); name one of them.`,
    );
  return file;
}

async function resolveFile(path: string): Promise<string> {
  return realpath(path).catch((cause: Error) => {
    throw new HearthError('gg_read_failed', `${path} could not be opened: ${cause.message}`, { cause });
  });
}

/** Whatever is in the new directory came from one of these. */
async function checkpointFiles(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => /\.(json|jinja|model|txt|safetensors)$/.test(name)).sort();
  return Promise.all(names.map((name) => realpath(join(directory, name))));
}

/** Names the source by what its verified digest would change with: place, size and times. A blob of the hub's cache is named by its digest. */
export async function conversionKey(files: readonly string[], options: Readonly<Record<string, unknown>>, converter = CONVERTER_VERSION): Promise<string> {
  const sources = await Promise.all(
    files.map(async (file) => {
      const { size, mtimeMs, ino } = await stat(file);
      const blob = /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(basename(file)) && basename(dirname(file)) === 'blobs';
      return blob ? { digest: basename(file), size } : { file, size, mtimeMs, ino };
    }),
  );
  const parts = JSON.stringify({ source: sources, converter, options });
  return createHash('sha256').update(parts).digest('hex').slice(0, 32);
}
