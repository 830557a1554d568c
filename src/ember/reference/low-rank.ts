import type { Kernels } from '../kernel-interface.ts';
import type { Bytes } from './bytes.ts';

export function createLowRankReference({ f32 }: Bytes): Pick<Kernels, 'addLowRank'> {
  return {
    addLowRank(b, z, y, yStride, rows, rank, tokens, factor) {
      for (let t = 0; t < tokens; t++)
        for (let r = 0; r < rows; r++) {
          let sum = 0;
          for (let j = 0; j < rank; j++) sum += f32[z / 4 + t * rank + j]! * f32[b / 4 + j * rows + r]!;
          f32[y / 4 + t * yStride + r]! += factor * sum;
        }
    },
  };
}
