import type { Counts } from '../kernels.ts';

/** One tensor of a conversion. */
export interface TensorReport {
  readonly name: string;
  readonly source: string;
  readonly from: string;
  readonly to: string;
  readonly elements: number;
  readonly inexactElements: number;
  readonly maxAbsError: number;
  readonly rmsError: number;
  readonly maxBlockRelError: number;
}

/** conversion.json (docs/spec/formats.md §8.3). "exact" is said of the weights as real numbers. */
export interface ConversionReport {
  readonly schema: 1;
  readonly converterVersion: string;
  readonly source: { readonly path: string; readonly ref?: string | null; readonly revision?: string | null; readonly rootDigest: string | null };
  /** `sha256` of a GGUF file. */
  readonly target: { readonly format: 'mlx' | 'gguf'; readonly sizeBytes: number; readonly sha256?: string };
  readonly verdict: 'exact' | 'bounded';
  readonly totals: {
    readonly tensors: number;
    readonly elements: number;
    readonly inexactElements: number;
    readonly maxAbsError: number;
    readonly rmsError: number;
    readonly maxBlockRelError: number;
    readonly subnormalGroups: number;
    readonly bytesBefore: number;
    readonly bytesAfter: number;
  };
  readonly tensors: readonly TensorReport[];
  readonly dropped: readonly string[];
  readonly warnings: readonly string[];
  readonly verification: { readonly mode: 'none' | 'sample' | 'full'; readonly rows: number };
  readonly seconds: number;
}

/** Changes when a converter would write other bytes for the same file: part of the key of every cached conversion. */
export const CONVERTER_VERSION = '2';

/** Counts how far converted numbers are from the source, over tensors that are not copied as they are. */
export interface ErrorCounter {
  /** `block`: neighbours that share a scale; the relative error is of the block's largest value. */
  add(source: ArrayLike<number>, target: ArrayLike<number>, block: number): void;
  /** What was counted elsewhere. */
  addCounts(counts: Counts): void;
  result(elements: number): Pick<TensorReport, 'inexactElements' | 'maxAbsError' | 'rmsError' | 'maxBlockRelError'>;
}

export function createErrorCounter(): ErrorCounter {
  let inexactElements = 0;
  let maxAbsError = 0;
  let squares = 0;
  let maxBlockRelError = 0;
  const addBlock = (source: ArrayLike<number>, target: ArrayLike<number>, start: number, end: number): void => {
    let largest = 0;
    let worst = 0;
    for (let i = start; i < end; i += 1) {
      const error = Math.abs(source[i]! - target[i]!);
      largest = Math.max(largest, Math.abs(source[i]!));
      if (error === 0) continue;
      inexactElements += 1;
      squares += error * error;
      worst = Math.max(worst, error);
    }
    maxAbsError = Math.max(maxAbsError, worst);
    if (worst > 0) maxBlockRelError = Math.max(maxBlockRelError, largest === 0 ? 1 : worst / largest);
  };
  return {
    add(source, target, block) {
      for (let start = 0; start < source.length; start += block) {
        const end = Math.min(start + block, source.length);
        let first = start;
        while (first < end && source[first] === target[first]) first += 1;
        if (first < end) addBlock(source, target, start, end);
      }
    },
    addCounts(counts) {
      inexactElements += counts.inexactElements;
      squares += counts.squares;
      maxAbsError = Math.max(maxAbsError, counts.maxAbsError);
      maxBlockRelError = Math.max(maxBlockRelError, counts.maxBlockRelError);
    },
    result: (elements) => ({ inexactElements, maxAbsError, rmsError: Math.sqrt(squares / elements), maxBlockRelError }),
  };
}

/** Sums of a list of tensors, and what may be said of them. */
export function sumReports(tensors: readonly TensorReport[]): {
  verdict: 'exact' | 'bounded';
  totals: Omit<ConversionReport['totals'], 'subnormalGroups' | 'bytesBefore' | 'bytesAfter'>;
} {
  const elements = tensors.reduce((sum, tensor) => sum + tensor.elements, 0);
  const inexactElements = tensors.reduce((sum, tensor) => sum + tensor.inexactElements, 0);
  const squares = tensors.reduce((sum, tensor) => sum + tensor.rmsError ** 2 * tensor.elements, 0);
  const most = (pick: (tensor: TensorReport) => number) => tensors.reduce((largest, tensor) => Math.max(largest, pick(tensor)), 0);
  return {
    verdict: inexactElements === 0 ? 'exact' : 'bounded',
    totals: {
      tensors: tensors.length,
      elements,
      inexactElements,
      maxAbsError: most((tensor) => tensor.maxAbsError),
      rmsError: elements === 0 ? 0 : Math.sqrt(squares / elements),
      maxBlockRelError: most((tensor) => tensor.maxBlockRelError),
    },
  };
}
