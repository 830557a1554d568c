import { readFileSync } from 'node:fs';
import { HearthError } from '../core/index.ts';
import { bindKernels, type WasmKernels } from './bind-kernels.ts';

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

/** `bindKernels` with this thread's module. Compute threads are given theirs, and load nothing of this file. */
export const loadKernels = (memory: WebAssembly.Memory, module: WebAssembly.Module = kernelModule()): WasmKernels => bindKernels(memory, module);
