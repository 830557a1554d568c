import type { Kernels } from '../kernel-interface.ts';
import { createAttentionReference } from './attention.ts';
import { viewBytes } from './bytes.ts';
import { createElementwiseReference } from './elementwise.ts';
import { createLowRankReference } from './low-rank.ts';
import { createMatmulReference } from './matmul.ts';
import { createRecurrentReference } from './recurrent.ts';
import { createSamplingReference } from './sampling.ts';

/**
 * The kernels in plain TypeScript, over the same bytes and with the same rounding of activations as ember.wasm: what the module is tested
 * against. Sums are taken in float64. The views are made once: grow a memory before, not after. The prepared layout is this implementation's own.
 */
export function createReferenceKernels(buffer: ArrayBuffer | SharedArrayBuffer): Kernels {
  const bytes = viewBytes(buffer);
  return {
    ...createMatmulReference(bytes),
    ...createElementwiseReference(bytes),
    ...createLowRankReference(bytes),
    ...createAttentionReference(bytes),
    ...createRecurrentReference(bytes),
    ...createSamplingReference(bytes),
  };
}
