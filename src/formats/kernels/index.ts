// Loops over all weights of a model, compiled to formats.wasm. Tested against the plain TypeScript of ../mlx and ../gguf.

export { takeCounts } from './counts';
export { areFinite } from './floats';
export { bytesOfBlocks, fiveBitsOfBlocks, halvesOfBlocks, largestHalf, nibblesOfBlocks } from './from-blocks';
export { spreadCodes, spreadNumbers, subBlockCodes, subBlockNumbers } from './k-blocks';
export { quantise } from './quantise';
export { lookAtScales } from './scales';
export { encodeCentred, encodeMinimum, encodeNearest } from './to-blocks';

/** Memory from here on is the caller's. */
export function heapBase(): usize {
  return __heap_base;
}
