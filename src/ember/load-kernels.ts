import { readFileSync } from 'node:fs';
import { HearthError } from '../core/index.ts';
import type { Kernels } from './kernel-interface.ts';

/** Kernels of ember.wasm. */
export interface WasmKernels extends Kernels {
  /** Form of the dot products of bytes: 1 = 32-bit (VNNI, SDOT), 0 = 16-bit, −1 = ask the CPU (default). For tests and benchmarks; prepare again after. */
  useWideDots(choice: number): void;
}

let compiled: WebAssembly.Module | undefined;

/** ember.wasm, compiled once per thread; it can be posted to workers, which share its machine code. */
export function kernelModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(kernelBytes());
  return compiled;
}

function kernelBytes(): Uint8Array<ArrayBuffer> {
  try {
    return readFileSync(new URL('./ember.wasm', import.meta.url));
  } catch (error) {
    throw new HearthError('model_load_failed', "The engine's kernels (ember.wasm) are not built in this checkout: run `npm run build`.", { cause: error });
  }
}

/**
 * The kernels over a shared memory (`new WebAssembly.Memory({ initial, maximum: ≤ 65536, shared: true })`). The memory may grow later;
 * offsets above 2 GiB are fine. Instantiation costs about a millisecond.
 */
export function loadKernels(memory: WebAssembly.Memory, module: WebAssembly.Module = kernelModule()): WasmKernels {
  const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as WasmKernels;
  return {
    ...kernels,
    // wasm gives i32: sizes are unsigned
    preparedBytes: (activation, bits, group, tokens, k) => kernels.preparedBytes(activation, bits, group, tokens, k) >>> 0,
    pageBytes: (kvType, kvHeads, headDim, shared) => kernels.pageBytes(kvType, kvHeads, headDim, shared) >>> 0,
    attendScratchBytes: (tokens, qHeads, headDim, contextTokens) => kernels.attendScratchBytes(tokens, qHeads, headDim, contextTokens) >>> 0,
  };
}
