import type { AttentionPlacement, NormPlacement } from '../load/rank-plan.ts';
import { createNorm, type RankContext } from './rank-context.ts';

/**
 * RMS norms of q and k over all heads, which several ranks hold: each adds its squares, one exchange gives all of them the sums. Works on
 * `query` and `key` of all tokens. A kv head that two ranks hold is counted by the first.
 */
export function createWholeNorm(context: RankContext, layer: AttentionPlacement): (tokens: number) => void {
  const { floats, buffers, kernels, sum, ranks } = context;
  const { headDim, firstUnsharedKvHead, wholeQueryWidth, wholeKeyWidth, queryNorm, keyNorm } = layer;
  if (ranks === 1) {
    const [query, key] = [createNorm(kernels, queryNorm!), createNorm(kernels, keyNorm!)];
    return (tokens) => {
      query(buffers.query, buffers.query, tokens);
      key(buffers.key, buffers.key, tokens);
    };
  }
  const queryStride = layer.heads * headDim;
  const keyStride = layer.kvHeads * headDim;
  const squares = new Float32Array(2 * context.batchTokens);

  function squaresOf(buffer: number, stride: number, from: number, token: number): number {
    let total = 0;
    const at = buffer / 4 + token * stride;
    for (let i = from; i < stride; i++) total += floats[at + i]! ** 2;
    return total;
  }
  function scale(buffer: number, { size, weight, epsilon }: NormPlacement, width: number, token: number, total: number): void {
    const at = buffer / 4 + token * size;
    const factor = 1 / Math.sqrt(total / width + epsilon);
    for (let i = 0; i < size; i++) floats[at + i] = floats[at + i]! * factor * floats[weight / 4 + i]!;
  }
  return (tokens) => {
    for (let t = 0; t < tokens; t++) {
      squares[2 * t] = squaresOf(buffers.query, queryStride, 0, t);
      squares[2 * t + 1] = squaresOf(buffers.key, keyStride, firstUnsharedKvHead * headDim, t);
    }
    sum.addNumbers(squares, 2 * tokens);
    if (queryNorm === null || keyNorm === null) return;
    for (let t = 0; t < tokens; t++) {
      scale(buffers.query, queryNorm, wholeQueryWidth, t, squares[2 * t]!);
      scale(buffers.key, keyNorm, wholeKeyWidth, t, squares[2 * t + 1]!);
    }
  };
}
