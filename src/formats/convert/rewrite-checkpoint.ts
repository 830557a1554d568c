import { copyFile, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { HearthError, writeFileAtomic } from '../../core/index.ts';
import { type Checkpoint, foreignModules, openCheckpoint, type Quantization } from '../mlx/index.ts';
import { elementCount, type FloatDtype, isFloatDtype, type TensorSource, tensorBytes, writeShardedCheckpoint } from '../safetensors/index.ts';
import { type CheckpointForm, checkpointForm } from './checkpoint-form.ts';
import { fillDirectory, requireSpace } from './directory.ts';
import { createQuantisePool } from './quantise-pool.ts';
import { type QuantiseContext, quantiseStream } from './quantise-stream.ts';
import { QUANTISE_GROUP, quantisedAs } from './quantised-modules.ts';
import { CONVERTER_VERSION } from './report.ts';
import { publishedConfig, rewrittenConfig } from './rewritten-config.ts';
import { castStream, configDtype, dequantisedStreams, keepsDtype } from './source-streams.ts';
import { openSpill } from './spill.ts';
import { streamOf, type TensorStream } from './tensor-stream.ts';

export interface RewriteOptions {
  /** Plain weights are quantised to so many bits by MLX's own rule; a model that is quantised already keeps its codes, unless `publish` is set. */
  readonly quantize?: QuantiseBits;
  /** 64 when absent. */
  readonly group?: 32 | 64 | 128;
  /** Write what mlx-lm's `convert` writes: numbers in the dtype of config.json, a sorted config, no conversion.json; codes are made anew. */
  readonly publish?: boolean;
  /** Threads that quantise; 0 = the caller's. By default as many as the machine has, up to 4, for more than a small model. */
  readonly threads?: number;
  /** Called before the directory gets its name, with where it is until then. */
  readonly finish?: (directory: string) => Promise<void>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void;
}

export type QuantiseBits = 2 | 3 | 4 | 6 | 8;

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

const SPARE_BYTES = 64 * 1024 * 1024;
/** Written anew; all other small files go along as they are. */
const OWN_FILES = /^(config\.json|conversion\.json|.*\.safetensors|model\.safetensors\.index\.json)$/;
const TEXT_FILES = /\.(json|jinja|model|txt|tiktoken)$|^(licen[cs]e|notice)/i;

/** Whether a checkpoint has to be rewritten before MLX's readers know it: codes in another tool's order, numbers of 8 bits, or experts one by one. */
export async function needsRewrite(directory: string, quantize?: QuantiseBits): Promise<boolean> {
  await using checkpoint = await openCheckpoint(directory);
  if ((await foreignModules(checkpoint)).tensors.length > 0) return true;
  const form = checkpointForm(
    [...checkpoint.tensors.values()].map((entry) => streamOf(checkpoint, entry)),
    checkpoint.config,
  );
  if (form.changed) return true;
  return quantize !== undefined && checkpoint.quantization === null && chosenModules(checkpoint, form, affine(quantize)).size > 0;
}

/**
 * Writes a checkpoint of transformers, AWQ, GPTQ, compressed-tensors or FP8 as an MLX one: experts stacked, codes in MLX's order, and, where asked
 * for, plain matrices quantised (docs/spec/formats.md §2.2, §3.3; docs/spec/engines.md §2.9). Streams; an error or a cancel leaves nothing.
 * Throws `mlx_*`, `st_*`, `convert_*`, `insufficient_space`, `invalid_argument` (destination exists), `cancelled`.
 */
export async function rewriteCheckpoint(source: string, destination: string, options: RewriteOptions = {}): Promise<RewriteReport> {
  const started = performance.now();
  await using checkpoint = await openCheckpoint(source);
  const wanted = options.quantize === undefined ? null : affine(options.quantize, options.group);
  const { streams, dtypeOf } = await sourceStreams(checkpoint, wanted, options);
  const form = checkpointForm(streams, checkpoint.config);
  const again = options.publish === true || checkpoint.quantization === null;
  const chosen = wanted === null || !again ? new Map<string, Quantization>() : chosenModules(checkpoint, form, wanted);
  if (wanted !== null && options.publish === true && chosen.size === 0)
    throw new HearthError('convert_type_unsupported', `${source} has no matrix whose rows are whole groups of ${wanted.group} numbers.`);
  try {
    return await fillDirectory(destination, async (temporary) => {
      await using spill = await openSpill(join(temporary, '.sides'));
      const sourceBytes = form.tensors.reduce((sum, tensor) => sum + tensorBytes(tensor.dtype, tensor.shape), 0);
      await using pool = createQuantisePool(chosen.size === 0 ? 0 : (options.threads ?? defaultThreads(sourceBytes)));
      const tensors = form.tensors.flatMap((tensor) =>
        quantisedOrPlain(tensor, chosen.get(tensor.name.replace(/\.weight$/, '')), { spill, pool }, dtypeOf(tensor.name)),
      );
      const totalBytes = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor.dtype, tensor.shape), 0);
      await requireSpace(dirname(temporary), totalBytes + totalBytes / 8 + SPARE_BYTES);
      const totalParameters = form.tensors.reduce((sum, tensor) => sum + elementCount(tensor.shape), 0);
      await writeShardedCheckpoint(temporary, withProgress(tensors, totalBytes, options), chosen.size === 0 ? {} : { totalParameters });
      const config = rewrittenConfig(checkpoint, chosen, wanted);
      await writeJson(join(temporary, 'config.json'), options.publish === true ? publishedConfig(config) : config, options.publish === true ? 4 : 2);
      await copyTextFiles(checkpoint.directory, temporary);
      // The strict parser and the check of the quantisation block see what was written.
      await using written = await openCheckpoint(temporary);
      const report: RewriteReport = {
        schema: 1,
        converterVersion: CONVERTER_VERSION,
        source: { path: basename(resolve(source)), layout: checkpoint.quantization?.layout ?? 'plain' },
        target: { format: 'mlx', sizeBytes: [...written.tensors.values()].reduce((sum, entry) => sum + entry.bytes, 0) },
        quantised: wanted === null || chosen.size === 0 ? null : { bits: wanted.bits, group: wanted.group, modules: chosen.size },
        dropped: form.dropped,
        seconds: (performance.now() - started) / 1000,
      };
      if (options.publish !== true) await writeJson(join(temporary, 'conversion.json'), report);
      await spill[Symbol.asyncDispose]();
      await options.finish?.(temporary);
      return report;
    });
  } catch (error) {
    if (options.signal?.aborted === true) throw new HearthError('cancelled', `The conversion of ${source} was cancelled.`, { cause: error });
    throw error;
  }
}

const writeJson = (path: string, value: unknown, indent = 2): Promise<void> => writeFileAtomic(path, `${JSON.stringify(value, tagNumber, indent)}\n`, 0o644);

const affine = (bits: QuantiseBits, group = QUANTISE_GROUP): Quantization => ({ mode: 'affine', bits, group });

/** Starting a thread takes about as long as quantising this much. */
const SMALL_BYTES = 64 * 1024 * 1024;
const defaultThreads = (bytes: number): number => (bytes < SMALL_BYTES ? 0 : Math.min(4, availableParallelism()));

/** Numbers that JSON lacks, as transformers writes them; `readModelConfig` takes them back. */
const tagNumber = (_key: string, value: unknown): unknown => (typeof value === 'number' && !Number.isFinite(value) ? { __float__: String(value) } : value);

function asStream(source: TensorSource): TensorStream {
  const { data } = source;
  const stream = async function* () {
    yield* data instanceof Uint8Array ? [data] : data();
  };
  return { ...source, data: stream };
}

/** Numbers become `numbers`; codes that are made again keep the dtype of their scales. */
interface TargetDtype {
  readonly numbers: FloatDtype | null;
  readonly scales: FloatDtype | null;
}

/** The numbers of the source as they are rewritten, and the dtypes that they get by their tensor's name. */
async function sourceStreams(
  checkpoint: Checkpoint,
  wanted: Quantization | null,
  { publish, signal }: RewriteOptions,
): Promise<{ readonly streams: TensorStream[]; readonly dtypeOf: (name: string) => TargetDtype }> {
  const plan = checkpoint.quantization;
  const dtype = publish === true ? configDtype(checkpoint.config) : null;
  const numbers = (name: string): FloatDtype | null => (keepsDtype(checkpoint.config, name) ? null : dtype);
  if (publish === true && wanted !== null && plan !== null) {
    if (plan.layout !== 'mlx')
      throw new HearthError(
        'convert_type_unsupported',
        `${checkpoint.directory} is quantised already, in the layout of ${plan.layout}; quantise the model from which it was made. \`hearth run\` takes it as it is.`,
      );
    const again = new Map<string, Quantization>();
    for (const name of checkpoint.tensors.keys()) {
      const path = name.replace(/\.scales$/, '');
      const quantization = path === name ? null : checkpoint.quantizationOf(path);
      if (quantization !== null) again.set(path, quantization);
    }
    const scales = (path: string): FloatDtype => {
      const own = checkpoint.tensors.get(`${path}.scales`)!.dtype;
      return dtype ?? (isFloatDtype(own) ? own : 'BF16');
    };
    return {
      streams: dequantisedStreams(checkpoint, again, signal),
      dtypeOf: (name) => {
        const path = name.replace(/\.weight$/, '');
        return again.has(path) ? { numbers: null, scales: scales(path) } : { numbers: numbers(name), scales: null };
      },
    };
  }
  const foreign = await foreignModules(checkpoint);
  const own = [...checkpoint.tensors.values()].filter((entry) => !foreign.consumed.has(entry.name));
  const streams = [...own.map((entry) => streamOf(checkpoint, entry, signal)), ...foreign.tensors.map(asStream)];
  return { streams, dtypeOf: (name) => ({ numbers: numbers(name), scales: null }) };
}

/** Modules of plain numbers that become codes, by path. */
function chosenModules(checkpoint: Checkpoint, form: CheckpointForm, wanted: Quantization): Map<string, Quantization> {
  const chosen = new Map<string, Quantization>();
  for (const { name, dtype, shape } of form.tensors) {
    if (!name.endsWith('.weight') || !isFloatDtype(dtype)) continue;
    const path = name.slice(0, -'.weight'.length);
    const as = quantisedAs(checkpoint.config, path, shape, wanted);
    if (as !== null) chosen.set(path, as);
  }
  return chosen;
}

function quantisedOrPlain(
  tensor: TensorStream,
  quantization: Quantization | undefined,
  context: Pick<QuantiseContext, 'spill' | 'pool'>,
  { numbers, scales }: TargetDtype,
): TensorStream[] {
  if (quantization === undefined || !tensor.name.endsWith('.weight')) {
    const to = numbers ?? scales;
    return [to === null ? tensor : castStream(tensor, to)];
  }
  return quantiseStream(tensor, quantization, {
    ...context,
    ...(scales === null ? {} : { scaleDtype: scales }),
    ...(numbers === null ? {} : { castTo: numbers }),
  });
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
