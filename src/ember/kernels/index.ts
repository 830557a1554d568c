// Owns: ember's arithmetic: quantised and plain matrices, norms, rotation, attention over paged KV, sampling sums. Entry of ember.wasm.
// Refuses: memory of its own; it works on the pointers that it is given. What they mean: ../kernel-interface.ts.
// Called by: ../load-kernels.ts.
export { unsettle, zero } from './numbers';
export { useWideDots } from './cpu';
export { preparedBytes } from './layout';
export { prepare } from './prepare';
export { matmul, useRoom } from './matmul';
export { dequantiseRow } from './dequantise';
export { matmulPlain, matmulPlainAdd, widen } from './plain';
export { addLowRank } from './low-rank';
export { addBias, addInto, addProduct, addScaled, layerNorm, multiplyInto, rmsNorm, rope, scaleBy, siluMultiply } from './elementwise';
export { gelu, geluMultiply, sigmoidMultiply, silu, softCap, squaredRelu, swigluClamped } from './activation-functions';
export { gatedDeltaHead, stateSpaceHead } from './recurrent';
export { attend, attendScratchBytes } from './attention';
export { pageBytes, storeKv } from './kv-pages';
export { adjustLogits, maskLogits, maxAndSum, topN } from './sampling';
