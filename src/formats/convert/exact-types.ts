import { decodeBlocks, type GgufTypeName, ggufRowBytes, ggufTypeByName } from '../gguf/index.ts';
import type { Checkpoint } from '../mlx/index.ts';
import { type ExportStep, layerRows } from './export-plan.ts';
import { encodeRows, valuesOf } from './export-type.ts';

const CHUNK_ELEMENTS = 2 ** 19;

/** Ranges of rows of some megabytes; undefined = the whole tensor, for a vector. Ranges are whole heads where rows are permuted. */
export function* rowRanges({ dims, elements, heads }: ExportStep): Generator<readonly [number, number] | undefined> {
  if (dims.length === 1) return yield undefined;
  const columns = dims[0]!;
  // A stack of matrices is one tall matrix.
  const rows = elements / columns;
  const unit = heads === 0 ? 1 : rows / heads;
  const step = Math.max(unit, Math.floor(CHUNK_ELEMENTS / columns / unit) * unit);
  for (let from = 0; from < rows; from += step) yield [from, Math.min(rows, from + step)];
}

/**
 * The plan without types that would change a number (docs/spec/formats.md §8.2, `--exact`): such tensors become F16 if that holds every element,
 * else F32, whose own rounding is counted. Reads the tensors in question once more.
 */
export async function withExactTypes(checkpoint: Checkpoint, steps: readonly ExportStep[], signal?: AbortSignal): Promise<ExportStep[]> {
  const out: ExportStep[] = [];
  for (const step of steps) out.push(step.mayDiffer && step.type !== 'F32' ? await exactStep(checkpoint, step, signal) : step);
  return out;
}

async function exactStep(checkpoint: Checkpoint, step: ExportStep, signal?: AbortSignal): Promise<ExportStep> {
  for (const type of new Set<GgufTypeName>([step.type, 'F16'])) {
    const candidate = retyped(step, type);
    if (await isExact(checkpoint, candidate, signal)) return { ...candidate, mayDiffer: false };
  }
  return retyped(step, 'F32');
}

const retyped = (step: ExportStep, type: GgufTypeName): ExportStep => ({
  ...step,
  type,
  keepCodes: step.keepCodes && type === step.type,
  bytesAfter: (step.elements / step.dims[0]!) * ggufRowBytes(ggufTypeByName(type), step.dims[0]!),
});

async function isExact(checkpoint: Checkpoint, step: ExportStep, signal?: AbortSignal): Promise<boolean> {
  for (const range of rowRanges(step)) {
    signal?.throwIfAborted();
    const rows = await layerRows(checkpoint, step, range);
    const wanted = valuesOf(rows);
    const found = decodeBlocks(
      step.type,
      encodeRows(rows, step.type, step.keepCodes, () => wanted),
    );
    if (!found.every((value, i) => value === wanted[i]! + step.shift)) return false;
  }
  return true;
}
