import { createHash } from 'node:crypto';
import { readFile, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { HearthError, makePrivateDirectory } from '../../core/index.ts';
import { decodeBlocks, type GgufKey, type GgufTensorSource, openGguf, writeGguf } from '../gguf/index.ts';
import { createFormatKernels, type FormatKernels } from '../kernels.ts';
import { type Checkpoint, openCheckpoint } from '../mlx/index.ts';
import { checkVocabulary, placeholderVocabulary, vocabularyToGguf } from '../tokenizer/index.ts';
import { configToGguf, type ExportedConfig } from './config-to-gguf.ts';
import { refuseExisting, requireSpace } from './directory.ts';
import { rowRanges, withExactTypes } from './exact-types.ts';
import { type ExportStep, layerRows, planExport } from './export-plan.ts';
import { encodeRows, valuesOf } from './export-type.ts';
import { rowOrder } from './names.ts';
import { poolingKeys } from './pooling.ts';
import { release } from './release.ts';
import { CONVERTER_VERSION, type ConversionReport, createErrorCounter, type ErrorCounter, sumReports } from './report.ts';
import { describeLlama3, LLAMA3_KEY, llama3Divisors } from './rope.ts';
import { type EncodedRows, streamRows } from './stream-blocks.ts';
import { verifyExport } from './verify-export.ts';

export interface ExportOptions {
  readonly signal?: AbortSignal;
  /** `exact` (default) keeps the numbers wherever a GGML type can. `q4_0` quantises again, as other engines' files are: for benchmarks only. */
  readonly quant?: 'exact' | 'q4_0';
  /** No type that changes a number: such tensors become F16 or F32, whichever holds them. */
  readonly exactOnly?: boolean;
  /** How much of the file is read again and compared with the source; none by default. */
  readonly verify?: 'none' | 'sample' | 'full';
  readonly onProgress?: (progress: { readonly step: 'convert' | 'verify'; readonly doneBytes: number; readonly totalBytes: number }) => void;
  /** `general.name`; the directory's own by default. */
  readonly name?: string;
  /** Where the source comes from, for the report and the keys of lineage. */
  readonly origin?: { readonly ref: string | null; readonly revision: string | null; readonly rootDigest: string | null };
}

const SPARE_BYTES = 64 * 1024 * 1024;
const FILE_TYPE: Readonly<Record<string, number>> = { F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 7, Q5_1: 9 };

/**
 * Writes an MLX checkpoint as one GGUF file (docs/spec/formats.md §7, §8). A model without a tokenizer gets placeholder tokens.
 * The report counts every number that differs. Throws `convert_*`, `tokenizer_*`, `mlx_*`, `st_*`, `insufficient_space`,
 * `invalid_argument` (the file exists), `cancelled`.
 */
export async function exportGguf(checkpointDirectory: string, ggufPath: string, options: ExportOptions = {}): Promise<ConversionReport> {
  const started = performance.now();
  const path = resolve(ggufPath);
  await refuseExisting(path);
  await using checkpoint = await openCheckpoint(checkpointDirectory);
  const exported = configToGguf(checkpoint.config);
  const kernels = createFormatKernels();
  const { steps: planned, dropped } = await planExport(checkpoint, exported, options.quant ?? 'exact', kernels);
  const steps = options.exactOnly === true ? await withExactTypes(checkpoint, planned, options.signal) : planned;
  const bytesAfter = steps.reduce((sum, step) => sum + step.bytesAfter, 0);
  await makePrivateDirectory(dirname(path));
  await requireSpace(dirname(path), bytesAfter + SPARE_BYTES);

  const counters = new Map(steps.map((step) => [step.name, createErrorCounter()]));
  const sources = steps.map(
    (step): GgufTensorSource => ({
      name: step.name,
      type: step.type,
      dims: step.dims,
      data: () => counted(encodeStep(checkpoint, step, { counter: counters.get(step.name)!, kernels }, options.signal)),
    }),
  );
  let doneBytes = 0;
  async function* counted(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      yield piece;
      doneBytes += piece.length;
      options.onProgress?.({ step: 'convert', doneBytes, totalBytes: bytesAfter });
    }
  }
  const { keys: vocabularyKeys, hasTokenizer, warnings } = await vocabulary(checkpoint, steps);
  const pooling = await poolingKeys(checkpoint.directory, exported.family);
  // What is inexact is known only when all numbers have been seen, so the key says what was asked for and conversion.json what came out.
  const keys = [
    ...(await generalKeys(checkpoint, exported.family.architecture, steps, options)),
    ...exported.keys,
    ...ropeKey(exported),
    ...pooling,
    ...vocabularyKeys,
  ];
  let verifiedRows = 0;
  try {
    await writeGguf(path, keys, [...ropeTensors(exported), ...sources]);
    try {
      await using written = await openGguf(path);
      if (hasTokenizer) await checkVocabulary(written.header, checkpoint.directory);
      verifiedRows = await verifyExport(written, checkpoint, steps, (step) => counters.get(step.name)!.result(step.elements), options);
    } catch (error) {
      // What says something else than the source is not kept.
      await rm(path, { force: true });
      throw error;
    }
  } catch (error) {
    if (options.signal?.aborted === true) throw new HearthError('cancelled', `The export to ${path} was cancelled.`, { cause: error });
    throw error;
  }
  const tensors = steps.map((step) => ({
    name: step.name,
    source: step.source,
    from: step.from,
    to: step.type,
    elements: step.elements,
    ...counters.get(step.name)!.result(step.elements),
  }));
  const { verdict, totals } = sumReports(tensors);
  return {
    schema: 1,
    converterVersion: CONVERTER_VERSION,
    source: { path: basename(checkpoint.directory), ...(options.origin ?? { rootDigest: null }) },
    target: { format: 'gguf', sizeBytes: (await stat(path)).size },
    verdict,
    totals: {
      ...totals,
      subnormalGroups: steps.reduce((sum, step) => sum + step.subnormalGroups, 0),
      bytesBefore: [...checkpoint.tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0),
      bytesAfter,
    },
    tensors,
    dropped,
    warnings,
    verification: { mode: options.verify ?? 'none', rows: verifiedRows },
    seconds: (performance.now() - started) / 1000,
  };
}

async function generalKeys(checkpoint: Checkpoint, architecture: string, steps: readonly ExportStep[], options: ExportOptions): Promise<GgufKey[]> {
  const bytes = new Map<string, number>();
  for (const step of steps) bytes.set(step.type, (bytes.get(step.type) ?? 0) + step.bytesAfter);
  const fileType = FILE_TYPE[[...bytes].toSorted(([, a], [, b]) => b - a)[0]?.[0] ?? ''];
  const text = (key: string, value: string): GgufKey => ({ key, type: 'string', value });
  const digest = createHash('sha256')
    .update(await readFile(join(checkpoint.directory, 'config.json')))
    .digest('hex');
  return [
    text('general.architecture', architecture),
    text('general.type', 'model'),
    text('general.name', options.name ?? basename(checkpoint.directory)),
    ...lineage(options.origin),
    ...(fileType === undefined ? [] : [{ key: 'general.file_type', type: 'u32', value: fileType } as const]),
    { key: 'general.quantization_version', type: 'u32', value: 2 },
    { key: 'general.alignment', type: 'u32', value: 32 },
    text('hearth.converter_version', CONVERTER_VERSION),
    text('hearth.source_digest', digest),
    text('hearth.conversion', options.quant === 'q4_0' || steps.some((step) => step.mayDiffer) ? 'bounded' : 'exact'),
  ];
}

const lineage = (origin: ExportOptions['origin']): GgufKey[] => {
  if (!origin?.ref?.includes('/')) return [];
  const [organisation = '', name = ''] = origin.ref.split('/');
  return [
    { key: 'general.source.huggingface.repository', type: 'string', value: origin.ref },
    { key: 'general.base_model.count', type: 'u32', value: 1 },
    { key: 'general.base_model.0.name', type: 'string', value: name },
    { key: 'general.base_model.0.organization', type: 'string', value: organisation },
    ...(origin.revision === null ? [] : [{ key: 'general.base_model.0.version', type: 'string', value: origin.revision } as const]),
  ];
};

async function vocabulary(
  checkpoint: Checkpoint,
  steps: readonly ExportStep[],
): Promise<{ readonly keys: GgufKey[]; readonly hasTokenizer: boolean; readonly warnings: string[] }> {
  const rows = steps.find((step) => step.name === 'token_embd.weight')?.dims[1] ?? 0;
  const files = ['tokenizer.json', 'tokenizer.model'].map((name) =>
    stat(join(checkpoint.directory, name))
      .then(() => true)
      .catch(() => false),
  );
  const present = (await Promise.all(files)).includes(true);
  if (present) return { keys: await vocabularyToGguf(checkpoint.directory, rows), hasTokenizer: true, warnings: [] };
  return {
    keys: placeholderVocabulary(rows),
    hasTokenizer: false,
    warnings: ['The model has no tokenizer: the file has placeholder tokens and cannot be given text.'],
  };
}

const ropeKey = (exported: ExportedConfig): GgufKey[] =>
  exported.rope.llama3 === null ? [] : [{ key: LLAMA3_KEY, type: 'string', value: describeLlama3(exported.rope.llama3) }];

function ropeTensors({ rope, ropeBase, headDim, rotaryDim }: ExportedConfig): GgufTensorSource[] {
  const tensor = (name: string, values: Float32Array): GgufTensorSource => ({ name, type: 'F32', dims: [values.length], data: new Uint8Array(values.buffer) });
  if (rope.llama3 !== null) return [tensor('rope_freqs.weight', llama3Divisors(rope.llama3, ropeBase, headDim / 2))];
  if (rope.factors === null) return [];
  const { long, short } = rope.factors;
  if (long.length !== rotaryDim / 2)
    throw new HearthError('convert_config_key', `rope_scaling in config.json has ${long.length} factors for ${rotaryDim / 2} rotations.`);
  return [tensor('rope_factors_long.weight', Float32Array.from(long)), tensor('rope_factors_short.weight', Float32Array.from(short))];
}

interface EncodeContext {
  readonly counter: ErrorCounter;
  readonly kernels: FormatKernels;
}

async function* encodeStep(checkpoint: Checkpoint, step: ExportStep, context: EncodeContext, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const total = step.dims.length === 1 ? 1 : step.elements / step.dims[0]!;
  for await (const { bytes, rows } of streamRows(checkpoint, step, context, signal) ?? encodedRows(checkpoint, step, context.counter, signal)) {
    if (step.heads === 0) {
      yield bytes;
      continue;
    }
    // Of a vector, the numbers are what is permuted.
    const permuted = permuteRows(bytes, bytes.length / (step.dims.length === 1 ? step.elements : rows), (step.heads * rows) / total);
    yield permuted;
    release(permuted);
  }
}

/** What the kernels have no loop for: plain numbers that change their type, codes of fp modes, `q4_0`. */
async function* encodedRows(checkpoint: Checkpoint, step: ExportStep, counter: ErrorCounter, signal?: AbortSignal): AsyncGenerator<EncodedRows> {
  for (const range of rowRanges(step)) {
    signal?.throwIfAborted();
    const source = await layerRows(checkpoint, step, range);
    let values: Float64Array | undefined;
    const numbers = () => {
      values ??= valuesOf(source);
      return values;
    };
    const bytes = encodeRows(source, step.type, step.keepCodes, numbers);
    if (step.mayDiffer) counter.add(step.shift === 0 ? numbers() : numbers().map((value) => value + step.shift), decodeBlocks(step.type, bytes), 32);
    yield { bytes, rows: range === undefined ? 1 : range[1] - range[0] };
  }
}

function permuteRows(bytes: Uint8Array, rowBytes: number, heads: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  rowOrder(bytes.length / rowBytes, heads).forEach((mlxRow, place) => {
    out.set(bytes.subarray(mlxRow * rowBytes, (mlxRow + 1) * rowBytes), place * rowBytes);
  });
  return out;
}
