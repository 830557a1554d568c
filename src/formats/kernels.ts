import { readFileSync } from 'node:fs';

/** What kernels/index.ts exports; places are byte offsets in `memory`. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  heapBase(): number;
  quantise(source: number, dtype: number, groups: number, group: number, bits: number, scales: number, biases: number, codes: number): number;
  encodeQ41(codes: number, scales: number, biases: number, dtype: number, groups: number, perGroup: number, out: number): number;
  lookAtScales(scales: number, biases: number, dtype: number, groups: number): number;
  nibblesOfBlocks(blocks: number, stride: number, offset: number, count: number, out: number): void;
  fiveBitsOfBlocks(blocks: number, stride: number, offset: number, count: number, out: number): void;
  bytesOfBlocks(blocks: number, stride: number, offset: number, count: number, out: number): void;
  halvesOfBlocks(blocks: number, stride: number, offset: number, count: number, factor: number, dtype: number, out: number): number;
  largestHalf(blocks: number, stride: number, offset: number, count: number): number;
}

/** Dtypes as the kernels know them. */
export const KERNEL_DTYPES = { F32: 0, F16: 1, BF16: 2 } as const;

/** What lookAtScales says of the scales and biases that it saw: any of them is so. */
export const SCALE_FACTS = { notFinite: 1, beyondHalf: 2, notCentred: 4, notHalves: 8 } as const;

export interface FormatKernels extends Omit<Exports, 'memory' | 'heapBase'> {
  /** Memory for parts of so many bytes, one after another: where each begins, and the whole memory. Good until the next call. */
  room(parts: readonly number[]): { readonly places: readonly number[]; readonly memory: ArrayBuffer };
}

const PAGE_BYTES = 65_536;
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
  const { memory, heapBase, ...loops } = exports;
  const base = Math.ceil(heapBase() / 16) * 16;
  return {
    ...loops,
    room(parts) {
      let end = base;
      const places = parts.map((bytes) => {
        const place = end;
        end += Math.ceil(bytes / 16) * 16;
        return place;
      });
      const missing = end - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
      return { places, memory: memory.buffer as unknown as ArrayBuffer };
    },
  };
}
