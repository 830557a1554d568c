import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { HearthError, writeFileAtomic } from '../../core/index.ts';
import { type GgufFile, openGgufModel } from '../gguf/index.ts';
import { createFormatKernels, type FormatKernels } from '../kernels.ts';
import { type Dtype, decodeFloats, encodeFloats, type FloatDtype, type TensorSource, writeShardedCheckpoint } from '../safetensors/index.ts';
import { loadTokenizer, vocabularyFromGguf } from '../tokenizer/index.ts';
import { configFromGguf } from './config-from-gguf.ts';
import { fillDirectory, refuseExisting, requireSpace } from './directory.ts';
import { type ImportPlan, type ImportStep, planImport } from './import-plan.ts';
import { writePooling } from './pooling.ts';
import { quantizationBlock } from './quantization-block.ts';
import { CONVERTER_VERSION, type ConversionReport, createErrorCounter, type ErrorCounter, sumReports } from './report.ts';
import { requireFinite } from './require-finite.ts';
import { rowChunks } from './row-chunks.ts';
import { verifyImport } from './verify-import.ts';

export interface ImportOptions {
  readonly signal?: AbortSignal;
  /** Bytes of the weights written so far. */
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void;
  /** `sample` (default): first, last and 64 rows of each tensor are decoded on both sides by separate code and compared. */
  readonly verify?: 'none' | 'sample' | 'full';
  /** Digest of the verified source, written into conversion.json. */
  readonly sourceDigest?: string;
  /** Called before the directory gets its name, with where it is until then. */
  readonly finish?: (directory: string) => Promise<void>;
}

/** Files beside the weights, and room for the header and the file system's own needs. */
const SPARE_BYTES = 64 * 1024 * 1024;

/**
 * Turns a GGUF model, one file or all parts of a split one, into an MLX checkpoint with the same numbers (docs/spec/formats.md §8.4): config.json, weights and index,
 * tokenizer.json, tokenizer_config.json, generation_config.json, conversion.json. Written beside the destination and renamed when
 * complete; an error or a cancel leaves nothing. Streams: memory does not grow with the model.
 * Throws `gg_*`, `convert_*`, `tokenizer_*`, `insufficient_space`, `invalid_argument` (destination exists), `cancelled`.
 */
export async function importGguf(ggufPath: string, destinationDirectory: string, options: ImportOptions = {}): Promise<ConversionReport> {
  await refuseExisting(resolve(destinationDirectory));
  await using file = await openGgufModel(ggufPath);
  try {
    return await run(file, destinationDirectory, options);
  } catch (error) {
    if (options.signal?.aborted === true) throw new HearthError('cancelled', `The import of ${ggufPath} was cancelled.`, { cause: error });
    throw error;
  }
}

async function run(file: GgufFile, destination: string, options: ImportOptions): Promise<ConversionReport> {
  const started = performance.now();
  const imported = configFromGguf(file.header);
  const vocabulary = vocabularyFromGguf(file.header);
  const kernels = createFormatKernels();
  const plan = await planImport(file, imported, kernels);
  const config = { ...imported.config, ...vocabulary.generationConfig, ...plan.config, ...quantizationBlock(plan.steps) };
  const bytesAfter = plan.steps.reduce((sum, step) => sum + step.bytesAfter, 0);

  return fillDirectory(destination, async (temporary) => {
    await requireSpace(dirname(temporary), bytesAfter + SPARE_BYTES);
    await writeJson(join(temporary, 'config.json'), config);
    await writeJson(join(temporary, 'generation_config.json'), vocabulary.generationConfig);
    await writeJson(join(temporary, 'tokenizer_config.json'), vocabulary.tokenizerConfig);
    await writeFileAtomic(join(temporary, 'tokenizer.json'), JSON.stringify(vocabulary.tokenizer), 0o644);
    await loadTokenizer(temporary);
    await writePooling(file.header, imported.family, temporary);
    const progress = { ...progressOf(options, bytesAfter), kernels };
    const counters = new Map(plan.steps.map((step) => [step, createErrorCounter()]));
    await writeShardedCheckpoint(
      temporary,
      plan.steps.flatMap((step) => tensorSources(file, step, counters.get(step)!, progress)),
    );
    const errorsOf = (step: ImportStep): StepErrors => counters.get(step)!.result(step.source.elements);
    const verifiedRows = await verifyImport(file, temporary, plan.steps, errorsOf, options);
    const report = makeReport(file, plan, errorsOf, verifiedRows, options);
    const finished = {
      ...report,
      target: { format: 'mlx' as const, sizeBytes: await sizeOf(temporary, bytesAfter) },
      seconds: (performance.now() - started) / 1000,
    };
    await writeJson(join(temporary, 'conversion.json'), finished);
    await options.finish?.(temporary);
    return finished;
  });
}

const writeJson = (path: string, value: unknown): Promise<void> => writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`, 0o644);

const sizeOf = async (directory: string, fallback: number): Promise<number> =>
  stat(join(directory, 'model.safetensors')).then(
    (found) => found.size,
    () => fallback,
  );

type StepErrors = ReturnType<ErrorCounter['result']>;
type Advance = (bytes: Uint8Array) => Uint8Array;

interface Context {
  readonly signal: AbortSignal | undefined;
  readonly advance: Advance;
  /** Tensors are written one after the other: one piece at a time lies in their memory. */
  readonly kernels: FormatKernels;
}

function progressOf(options: ImportOptions, totalBytes: number): Omit<Context, 'kernels'> {
  let doneBytes = 0;
  return {
    signal: options.signal,
    advance: (bytes) => {
      doneBytes += bytes.length;
      options.onProgress?.({ doneBytes, totalBytes });
      return bytes;
    },
  };
}

/** The tensors of an MLX layer; each reads the rows again when its turn comes, so that none has to be kept. */
function tensorSources(file: GgufFile, step: ImportStep, counter: ErrorCounter, { signal, advance, kernels }: Context): TensorSource[] {
  const { source, module, leaf, heads, shift, layout } = step;
  const stream = (convert: (rows: Uint8Array) => Uint8Array) =>
    async function* () {
      for await (const rows of rowChunks(file, source, heads, signal)) yield advance(convert(rows));
    };
  const shape = source.dims.toReversed();
  if (shift !== 0) {
    const lower = (rows: Uint8Array) => {
      const numbers = Float64Array.from(decodeFloats(source.type as FloatDtype, requireFinite(source.type, rows, source.name)), (x) => x - shift);
      const lowered = new Float32Array(numbers);
      counter.add(numbers, lowered, 32);
      return encodeFloats('F32', lowered);
    };
    return [{ name: `${module}.${leaf}`, dtype: 'F32', shape, data: stream(lower) }];
  }
  if (layout === null) {
    return [{ name: `${module}.${leaf}`, dtype: source.type as Dtype, shape, data: stream((rows) => requireFinite(source.type, rows, source.name)) }];
  }
  const { type, scaleDtype } = layout;
  const codes = (rows: Uint8Array) => {
    const made = type.codes(rows, kernels);
    if (type.inexact === true) counter.addCounts(kernels.takeCounts());
    return made;
  };
  const { bits, group } = type.quantization;
  const columns = source.dims[0]!;
  const packed = [...shape.slice(0, -1), (columns * bits) / 32];
  const groups = [...shape.slice(0, -1), columns / group];
  return [
    { name: `${module}.weight`, dtype: 'U32', shape: packed, data: stream(codes) },
    { name: `${module}.scales`, dtype: scaleDtype, shape: groups, data: stream((rows) => type.scales(rows, scaleDtype, kernels)) },
    ...(type.biases === undefined
      ? []
      : [{ name: `${module}.biases`, dtype: scaleDtype, shape: groups, data: stream((rows) => type.biases!(rows, scaleDtype, kernels)) }]),
  ];
}

function makeReport(
  file: GgufFile,
  plan: ImportPlan,
  errorsOf: (step: ImportStep) => StepErrors,
  verifiedRows: number,
  options: ImportOptions,
): Omit<ConversionReport, 'target' | 'seconds'> {
  const tensors = plan.steps.map((step) => {
    const to =
      step.layout === null
        ? step.source.type
        : `${step.layout.type.quantization.mode}-${step.layout.type.quantization.bits}-g${step.layout.type.quantization.group}`;
    return { name: `${step.module}.${step.leaf}`, source: step.source.name, from: step.source.type, to, elements: step.source.elements, ...errorsOf(step) };
  });
  const { verdict, totals } = sumReports(tensors);
  const bytes = (pick: (step: ImportStep) => number) => plan.steps.reduce((sum, step) => sum + pick(step), 0);
  return {
    schema: 1,
    converterVersion: CONVERTER_VERSION,
    source: { path: basename(file.path), rootDigest: options.sourceDigest ?? null },
    verdict,
    totals: { ...totals, subnormalGroups: 0, bytesBefore: bytes((step) => step.source.bytes), bytesAfter: bytes((step) => step.bytesAfter) },
    tensors,
    dropped: plan.dropped,
    warnings: [],
    verification: { mode: options.verify ?? 'sample', rows: verifiedRows },
  };
}
