import type { Kernels } from '../kernel-interface.ts';
import type { Bytes } from './bytes.ts';

type SamplingKernels = Pick<Kernels, 'adjustLogits' | 'maskLogits' | 'maxAndSum' | 'topN'>;

export function createSamplingReference({ f32, u32 }: Bytes): SamplingKernels {
  return {
    adjustLogits(logits, n, firstId, entries, count) {
      for (let e = 0; e < count; e++) {
        const at = entries / 4 + e * 3;
        const index = u32[at]! - firstId;
        if (index < 0 || index >= n) continue;
        const logit = f32[logits / 4 + index]!;
        const multiply = f32[at + 1]!;
        f32[logits / 4 + index] = Math.fround(logit > 0 ? logit / multiply : logit * multiply) + f32[at + 2]!;
      }
    },

    maskLogits(logits, n, firstId, mask) {
      for (let i = 0; i < n; i++) {
        const id = firstId + i;
        if (((u32[mask / 4 + (id >> 5)]! >> (id & 31)) & 1) === 0) f32[logits / 4 + i] = Number.NEGATIVE_INFINITY;
      }
    },

    maxAndSum(logits, n, temperature, out) {
      let most = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < n; i++) most = Math.max(most, f32[logits / 4 + i]!);
      let sum = 0;
      for (let i = 0; i < n; i++) sum += Math.exp((f32[logits / 4 + i]! - most) / temperature);
      f32[out / 4] = most;
      f32[out / 4 + 1] = sum;
    },

    topN(logits, n, firstId, count, ids, values) {
      const row = f32.subarray(logits / 4, logits / 4 + n);
      const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
      const found = order.slice(0, count);
      const best = found.map((index) => row[index]!);
      for (const [i, index] of found.entries()) {
        u32[ids / 4 + i] = firstId + index;
        f32[values / 4 + i] = best[i]!;
      }
      return found.length;
    },
  };
}
