import { readFileSync } from 'node:fs';

/** What kernels/index.ts exports; places are byte offsets in `memory`. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  heapBase(): number;
  quantise(source: number, dtype: number, groups: number, group: number, bits: number, scales: number, biases: number, codes: number): number;
  encodeMinimum(codes: number, bits: number, scales: number, biases: number, dtype: number, groups: number, perGroup: number, out: number): void;
  encodeCentred(codes: number, scales: number, dtype: number, groups: number, perGroup: number, out: number): void;
  encodeNearest(codes: number, bits: number, scales: number, biases: number, dtype: number, groups: number, perGroup: number, out: number): number;
  takeCounts(): number;
  areFinite(at: number, dtype: number, bytes: number): number;
  lookAtScales(scales: number, biases: number, dtype: number, groups: number): number;
  nibblesOfBlocks(blocks: number, stride: number, offset: number, count: number, out: number): void;
  fiveBitsOfBlocks(blocks: number, stride: number, offset: number, count: number, out: number): void;
  bytesOfBlocks(blocks: number, stride: number, offset: number, count: number, out: number): void;
  halvesOfBlocks(blocks: number, stride: number, offset: number, count: number, factor: number, dtype: number, out: number): number;
  largestHalf(blocks: number, stride: number, offset: number, count: number): number;
  subBlockCodes(blocks: number, stride: number, low: number, high: number, count: number, out: number): void;
  subBlockNumbers(blocks: number, stride: number, offset: number, minima: boolean, count: number, out: number): number;
  spreadNumbers(type: number, blocks: number, stride: number, biases: boolean, count: number, out: number): number;
  spreadCodes(type: number, blocks: number, stride: number, count: number, out: number): number;
}

/** Dtypes as the kernels know them. */
export const KERNEL_DTYPES = { F32: 0, F16: 1, BF16: 2 } as const;

/** What lookAtScales says of the scales and biases that it saw: any of them is so. */
export const SCALE_FACTS = { notFinite: 1, beyondHalf: 2, notCentred: 4, notHalves: 8 } as const;

/** How far numbers that were written are from those of the source. */
export interface Counts {
  readonly inexactElements: number;
  /** The sum of the squares of the differences. */
  readonly squares: number;
  readonly maxAbsError: number;
  /** The largest difference of a block, by the block's largest number. */
  readonly maxBlockRelError: number;
}

export interface FormatKernels extends Omit<Exports, 'memory' | 'heapBase' | 'takeCounts'> {
  /** What the loops counted since the last call. */
  takeCounts(): Counts;
  /** Memory for parts of so many bytes, one after another: where each begins, and the whole memory. Good until the next call. */
  room(parts: readonly number[]): { readonly places: readonly number[]; readonly memory: ArrayBuffer };
}

const PAGE_BYTES = 65_536;
/** What loops may read and overwrite after the end of a part. */
const SPARE_BYTES = 16;
type FourNumbers = readonly [number, number, number, number];

let compiled: WebAssembly.Module | undefined;
let own: FormatKernels | undefined;

/** formats.wasm: the loops over all weights. One instance, with a memory of its own, per thread: for work that waits for nothing in between. */
export function formatKernels(): FormatKernels {
  own ??= createFormatKernels();
  return own;
}

/** Another instance, for work that waits while its parts lie in the memory. */
export function createFormatKernels(): FormatKernels {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('./formats.wasm', import.meta.url)));
  const exports = new WebAssembly.Instance(compiled).exports as unknown as Exports;
  const { memory, heapBase, takeCounts, ...loops } = exports;
  const base = Math.ceil(heapBase() / 16) * 16;
  return {
    ...loops,
    takeCounts() {
      const [inexactElements, squares, maxAbsError, maxBlockRelError] = new Float64Array(memory.buffer, takeCounts(), 4) as unknown as FourNumbers;
      return { inexactElements, squares, maxAbsError, maxBlockRelError };
    },
    room(parts) {
      let end = base;
      const places = parts.map((bytes) => {
        const place = end;
        end += Math.ceil(bytes / 16) * 16 + SPARE_BYTES;
        return place;
      });
      const missing = end - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
      return { places, memory: memory.buffer as unknown as ArrayBuffer };
    },
  };
}
