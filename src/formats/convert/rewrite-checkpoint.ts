import { copyFile, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { HearthError, writeFileAtomic } from '../../core/index.ts';
import { type Checkpoint, foreignModules, openCheckpoint, type Quantization } from '../mlx/index.ts';
import { isFloatDtype, type TensorSource, tensorBytes, writeShardedCheckpoint } from '../safetensors/index.ts';
import { type CheckpointForm, checkpointForm } from './checkpoint-form.ts';
import { fillDirectory, requireSpace } from './directory.ts';
import { quantiseStream } from './quantise-stream.ts';
import { QUANTISE_GROUP, quantisedBits } from './quantised-modules.ts';
import { CONVERTER_VERSION } from './report.ts';
import { openSpill, type Spill } from './spill.ts';
import { streamOf, type TensorStream } from './tensor-stream.ts';

export interface RewriteOptions {
  /** Plain weights are quantised to so many bits by MLX's own rule; a model that is quantised already keeps its codes. */
  readonly quantize?: 4 | 8;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void;
}

/** conversion.json of a checkpoint that was rewritten as an MLX one. */
export interface RewriteReport {
  readonly schema: 1;
  readonly converterVersion: string;
  readonly source: { readonly path: string; readonly layout: string };
  readonly target: { readonly format: 'mlx'; readonly sizeBytes: number };
  /** Bits of `quantize`, and how many modules got them; null where the numbers are those of the source. */
  readonly quantised: { readonly bits: number; readonly group: number; readonly modules: number } | null;
  readonly dropped: readonly string[];
  readonly seconds: number;
}

type Config = Readonly<Record<string, unknown>>;

const SPARE_BYTES = 64 * 1024 * 1024;
/** Written anew; all other small files go along as they are. */
const OWN_FILES = /^(config\.json|conversion\.json|.*\.safetensors|model\.safetensors\.index\.json)$/;
const TEXT_FILES = /\.(json|jinja|model|txt)$/;

/** Whether a checkpoint has to be rewritten before MLX's readers know it: codes in another tool's order, or experts one by one. */
export async function needsRewrite(directory: string, quantize?: 4 | 8): Promise<boolean> {
  await using checkpoint = await openCheckpoint(directory);
  if (checkpoint.quantization !== null && checkpoint.quantization.layout !== 'mlx') return true;
  const form = checkpointForm(
    [...checkpoint.tensors.values()].map((entry) => streamOf(checkpoint, entry)),
    checkpoint.config,
  );
  return form.changed || (quantize !== undefined && chosenModules(checkpoint, form, quantize).size > 0);
}

/**
 * Writes a checkpoint of transformers, AWQ, GPTQ or compressed-tensors as an MLX one: experts stacked, codes in MLX's order, and, where asked
 * for, plain matrices quantised (docs/spec/formats.md §2.2, §3.3; docs/spec/engines.md §2.9). Streams; an error or a cancel leaves nothing.
 * Throws `mlx_*`, `st_*`, `convert_*`, `insufficient_space`, `invalid_argument` (destination exists), `cancelled`.
 */
export async function rewriteCheckpoint(source: string, destination: string, options: RewriteOptions = {}): Promise<RewriteReport> {
  const started = performance.now();
  await using checkpoint = await openCheckpoint(source);
  const foreign = await foreignModules(checkpoint);
  const own = [...checkpoint.tensors.values()].filter((entry) => !foreign.consumed.has(entry.name));
  const streams = [...own.map((entry) => streamOf(checkpoint, entry, options.signal)), ...foreign.tensors.map(asStream)];
  const form = checkpointForm(streams, checkpoint.config);
  const chosen = options.quantize === undefined ? new Map<string, Quantization>() : chosenModules(checkpoint, form, options.quantize);
  try {
    return await fillDirectory(destination, async (temporary) => {
      await using spill = await openSpill(join(temporary, '.sides'));
      const tensors = form.tensors.flatMap((tensor) => quantisedOrPlain(tensor, chosen, spill));
      const totalBytes = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor.dtype, tensor.shape), 0);
      await requireSpace(dirname(temporary), totalBytes + totalBytes / 8 + SPARE_BYTES);
      await writeShardedCheckpoint(temporary, withProgress(tensors, totalBytes, options));
      await writeJson(join(temporary, 'config.json'), newConfig(checkpoint, chosen, options.quantize));
      await copyTextFiles(checkpoint.directory, temporary);
      // The strict parser and the check of the quantisation block see what was written.
      await using written = await openCheckpoint(temporary);
      const report: RewriteReport = {
        schema: 1,
        converterVersion: CONVERTER_VERSION,
        source: { path: basename(resolve(source)), layout: checkpoint.quantization?.layout ?? 'plain' },
        target: { format: 'mlx', sizeBytes: [...written.tensors.values()].reduce((sum, entry) => sum + entry.bytes, 0) },
        quantised: options.quantize === undefined || chosen.size === 0 ? null : { bits: options.quantize, group: QUANTISE_GROUP, modules: chosen.size },
        dropped: form.dropped,
        seconds: (performance.now() - started) / 1000,
      };
      await writeJson(join(temporary, 'conversion.json'), report);
      return report;
    });
  } catch (error) {
    if (options.signal?.aborted === true) throw new HearthError('cancelled', `The conversion of ${source} was cancelled.`, { cause: error });
    throw error;
  }
}

const writeJson = (path: string, value: unknown): Promise<void> => writeFileAtomic(path, `${JSON.stringify(value, tagNumber, 2)}\n`, 0o644);

/** Numbers that JSON lacks, as transformers writes them; `readModelConfig` takes them back. */
const tagNumber = (_key: string, value: unknown): unknown => (typeof value === 'number' && !Number.isFinite(value) ? { __float__: String(value) } : value);

function asStream(source: TensorSource): TensorStream {
  const { data } = source;
  const stream = async function* () {
    yield* data instanceof Uint8Array ? [data] : data();
  };
  return { ...source, data: stream };
}

/** Modules of plain numbers that become codes, by path. A checkpoint that has a quantisation block already is left as it is. */
function chosenModules(checkpoint: Checkpoint, form: CheckpointForm, bits: 4 | 8): Map<string, Quantization> {
  const chosen = new Map<string, Quantization>();
  if (checkpoint.quantization !== null) return chosen;
  for (const { name, dtype, shape } of form.tensors) {
    if (!name.endsWith('.weight') || !isFloatDtype(dtype)) continue;
    const path = name.slice(0, -'.weight'.length);
    const width = quantisedBits(checkpoint.config, path, shape, bits);
    if (width !== null) chosen.set(path, { mode: 'affine', bits: width, group: QUANTISE_GROUP });
  }
  return chosen;
}

function quantisedOrPlain(tensor: TensorStream, chosen: ReadonlyMap<string, Quantization>, spill: Spill): TensorStream[] {
  const quantization = chosen.get(tensor.name.replace(/\.weight$/, ''));
  return quantization !== undefined && tensor.name.endsWith('.weight') ? quantiseStream(tensor, quantization, spill) : [tensor];
}

function withProgress(tensors: readonly TensorStream[], totalBytes: number, options: RewriteOptions): TensorStream[] {
  let doneBytes = 0;
  return tensors.map((tensor) => ({
    ...tensor,
    data: async function* () {
      for await (const bytes of tensor.data()) {
        options.signal?.throwIfAborted();
        yield bytes;
        doneBytes += bytes.length;
        options.onProgress?.({ doneBytes, totalBytes });
      }
    },
  }));
}

const blockOf = ({ group, bits, mode }: Quantization) => ({ group_size: group, bits, mode });

function newConfig(checkpoint: Checkpoint, chosen: ReadonlyMap<string, Quantization>, bits: number | undefined): Config {
  const { quantization_config: _, ...config } = checkpoint.config;
  const plan = checkpoint.quantization;
  if (plan !== null) {
    const listed = [...plan.modules].map(([path, value]) => [path, value && blockOf(value)] as const);
    const block = { ...blockOf(plan.fallback), ...Object.fromEntries(listed) };
    return { ...config, quantization: block, quantization_config: block };
  }
  if (bits === undefined || chosen.size === 0) return config;
  const common = { mode: 'affine', bits, group: QUANTISE_GROUP } as const;
  const others = [...chosen].filter(([, quantization]) => quantization.bits !== bits).map(([path, quantization]) => [path, blockOf(quantization)] as const);
  const block = { ...blockOf(common), ...Object.fromEntries(others) };
  return { ...config, quantization: block, quantization_config: block };
}

/** Of embedding models; the one file that is looked for in a folder below. */
const POOLING = join('1_Pooling', 'config.json');

async function copyTextFiles(from: string, to: string): Promise<void> {
  for (const name of await readdir(from)) {
    if (OWN_FILES.test(name) || !TEXT_FILES.test(name) || !(await stat(join(from, name))).isFile()) continue;
    await copyFile(join(from, name), join(to, name));
  }
  const pooling = await readFile(join(from, POOLING)).catch(() => null);
  if (pooling === null) return;
  await mkdir(join(to, '1_Pooling'));
  await writeFileAtomic(join(to, POOLING), pooling, 0o644);
}
