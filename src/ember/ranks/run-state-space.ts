import type { StateSpacePlacement } from '../load/rank-plan.ts';
import { createChannelConvolution } from './channel-convolution.ts';
import type { Mixer, RankContext } from './rank-context.ts';
import { runStates } from './running-state.ts';

/** Mamba 2, for the rank's heads. Its norm goes over all heads, or over parts of them, so ranks tell each other their squares. */
export function createStateSpace(context: RankContext, layer: StateSpacePlacement): Mixer {
  const { kernels, buffers, matrices, floats, step, sum, ranks, batchTokens } = context;
  const { heads, groups, headDim, state: size, headToGroup, normGroups, normSize, firstValue, epsilon } = layer;
  const [lowest, highest] = layer.stepLimits;
  const values = heads * headDim;
  const channels = values + 2 * groups * size;
  const mixed = buffers.query / 4;
  const gates = buffers.key / 4;
  const steps = buffers.low / 4;
  const result = buffers.attention / 4;
  const squares = new Float32Array(batchTokens * normGroups);
  const vector = (at: number): Float32Array => floats.subarray(at / 4, at / 4 + heads);
  const rates = vector(layer.decay).map((value) => -Math.exp(value));
  const [skips, biases] = [vector(layer.skip), vector(layer.stepBias)];
  const convolve = createChannelConvolution(context, layer.convolution);
  const place = { base: layer.kvBase, stride: layer.pageStride };
  const historyValues = (layer.convolution.kernel - 1) * channels;

  /** x, B and C of all tokens side by side. */
  function project(tokens: number): void {
    matrices.input(buffers.normed, tokens);
    matrices.multiply(layer.gate!, buffers.key);
    matrices.multiply(layer.step!, buffers.low);
    let to = mixed;
    for (const matrix of [layer.x!, layer.b!, layer.c!]) {
      matrices.multiply(matrix, buffers.value);
      const from = buffers.value / 4;
      for (let t = 0; t < tokens; t++) floats.copyWithin(to + t * channels, from + t * matrix.rows, from + (t + 1) * matrix.rows);
      to += matrix.rows;
    }
  }

  function runToken(state: number, token: number): void {
    const x = mixed + token * channels;
    convolve(x, state, x);
    for (let h = 0; h < heads; h++) {
      const raw = floats[steps + token * heads + h]! + biases[h]!;
      const dt = Math.min(highest, Math.max(lowest, raw > 20 ? raw : Math.log1p(Math.exp(raw))));
      const kept = Math.exp(rates[h]! * dt);
      const b = x + values + headToGroup[h]! * size;
      const c = b + groups * size;
      kernels.stateSpaceHead(
        (state + historyValues + h * headDim * size) * 4,
        (x + h * headDim) * 4,
        b * 4,
        c * 4,
        (result + token * values + h * headDim) * 4,
        headDim,
        size,
        kept,
        dt,
        skips[h]!,
      );
    }
    const own = (result + token * values) * 4;
    kernels.siluMultiply((gates + token * values) * 4, own, own, values);
  }

  /** Parts of the own values that are normed together with other ranks' parts of the same group. */
  const pieces: { readonly group: number; readonly from: number; readonly count: number }[] = [];
  for (let from = 0; from < values; ) {
    const group = Math.floor((firstValue + from) / normSize);
    const count = Math.min(values, (group + 1) * normSize - firstValue) - from;
    pieces.push({ group, from, count });
    from += count;
  }

  function normalise(tokens: number): void {
    squares.fill(0, 0, tokens * normGroups);
    for (let t = 0; t < tokens; t++)
      for (const { group, from, count } of pieces) {
        let total = 0;
        for (let i = result + t * values + from, end = i + count; i < end; i++) total += floats[i]! * floats[i]!;
        squares[t * normGroups + group] = total;
      }
    sum.addNumbers(squares, tokens * normGroups);
    for (let t = 0; t < tokens; t++) {
      const own = (result + t * values) * 4;
      for (const { group, from, count } of pieces) kernels.scaleBy(own + from * 4, count, 1 / Math.sqrt(squares[t * normGroups + group]! / normSize + epsilon));
      kernels.multiplyInto(own, layer.normWeight, values);
    }
  }

  return {
    kept: heads === 0 ? [] : [{ buffer: buffers.attention, width: values }],
    remember(tokens, sequences) {
      if (heads > 0) {
        project(tokens);
        runStates(floats, step, place, sequences, (state, first, count) => {
          for (let t = first; t < first + count; t++) runToken(state, t);
        });
      }
      // Ranks without a head answer too.
      if (heads > 0 || ranks > 1) normalise(tokens);
    },
    finish(rows) {
      if (heads === 0) return;
      matrices.input(buffers.attention, rows);
      matrices.multiply(layer.output!, buffers.partial);
    },
  };
}
