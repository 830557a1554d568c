import type { Kernels } from './kernel-interface.ts';

/** Kernels of ember.wasm. */
export interface WasmKernels extends Kernels {
  /** Form of the dot products of bytes: 1 = 32-bit (VNNI, SDOT), 0 = 16-bit, −1 = ask the CPU (default). For tests and benchmarks; prepare again after. */
  useWideDots(choice: number): void;
}

/**
 * The kernels over a shared memory (`new WebAssembly.Memory({ initial, maximum: ≤ 65536, shared: true })`). The memory may grow later;
 * offsets above 2 GiB are fine. Instantiation costs about a millisecond.
 */
export function bindKernels(memory: WebAssembly.Memory, module: WebAssembly.Module): WasmKernels {
  const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as WasmKernels;
  return {
    ...kernels,
    // wasm gives i32: sizes are unsigned
    preparedBytes: (activation, bits, group, tokens, k) => kernels.preparedBytes(activation, bits, group, tokens, k) >>> 0,
    pageBytes: (kvType, kvHeads, headDim, shared) => kernels.pageBytes(kvType, kvHeads, headDim, shared) >>> 0,
    attendScratchBytes: (tokens, qHeads, headDim, contextTokens) => kernels.attendScratchBytes(tokens, qHeads, headDim, contextTokens) >>> 0,
  };
}
