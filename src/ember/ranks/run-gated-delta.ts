import type { GatedDeltaPlacement } from '../load/rank-plan.ts';
import { createChannelConvolution } from './channel-convolution.ts';
import type { Mixer, RankContext } from './rank-context.ts';
import { runStates } from './running-state.ts';

/** Added to the sum of squares of q and k before they are divided by its root. */
const LENGTH_EPSILON = 1e-6;

/** The gated delta rule (Qwen 3 Next, 3.5), for the rank's heads. */
export function createGatedDelta(context: RankContext, layer: GatedDeltaPlacement): Mixer {
  const { kernels, buffers, matrices, floats, step } = context;
  const { keyHeads, valuesPerKey, keyDim, valueDim, projections, byHead, norm } = layer;
  if (keyHeads === 0 || norm === null) return { remember: () => {}, kept: [], finish: () => {} };
  const valueHeads = keyHeads * valuesPerKey;
  const [keys, values] = [keyHeads * keyDim, valueHeads * valueDim];
  const channels = 2 * keys + values;
  const mixed = buffers.query / 4;
  const gates = buffers.key / 4;
  const wide = buffers.value / 4;
  /** Of each token: betas, then decays. */
  const numbers = buffers.low / 4;
  const result = buffers.attention / 4;
  const rates = floats.slice(layer.decay / 4, layer.decay / 4 + valueHeads).map((value) => -Math.exp(value));
  const biases = floats.subarray(layer.decayBias / 4, layer.decayBias / 4 + valueHeads);
  const convolve = createChannelConvolution(context, layer.convolution);
  const place = { base: layer.kvBase, stride: layer.pageStride };
  const historyValues = (layer.convolution.kernel - 1) * channels;

  const copyRows = (tokens: number, width: number, from: number, fromStride: number, to: number, toStride: number): void => {
    for (let t = 0; t < tokens; t++) floats.copyWithin(to + t * toStride, from + t * fromStride, from + t * fromStride + width);
  };

  function projectApart(tokens: number): void {
    const [query, key, value, gate, beta, decay] = projections;
    let to = mixed;
    for (const matrix of [query!, key!, value!]) {
      matrices.multiply(matrix, buffers.value);
      copyRows(tokens, matrix.rows, wide, matrix.rows, to, channels);
      to += matrix.rows;
    }
    matrices.multiply(gate!, buffers.key);
    for (const [i, matrix] of [beta!, decay!].entries()) {
      matrices.multiply(matrix, buffers.value);
      copyRows(tokens, valueHeads, wide, valueHeads, numbers + i * valueHeads, 2 * valueHeads);
    }
  }

  function projectByHead(tokens: number): void {
    const [vectors, scalars] = projections;
    const own = valuesPerKey * valueDim;
    const block = 2 * keyDim + 2 * own;
    matrices.multiply(vectors!, buffers.value);
    for (let h = 0; h < keyHeads; h++) {
      const from = wide + h * block;
      copyRows(tokens, keyDim, from, keyHeads * block, mixed + h * keyDim, channels);
      copyRows(tokens, keyDim, from + keyDim, keyHeads * block, mixed + keys + h * keyDim, channels);
      copyRows(tokens, own, from + 2 * keyDim, keyHeads * block, mixed + 2 * keys + h * own, channels);
      copyRows(tokens, own, from + 2 * keyDim + own, keyHeads * block, gates + h * own, values);
    }
    matrices.multiply(scalars!, buffers.value);
    for (let h = 0; h < keyHeads; h++)
      for (let i = 0; i < 2; i++)
        copyRows(tokens, valuesPerKey, wide + (2 * h + i) * valuesPerKey, 2 * valueHeads, numbers + i * valueHeads + h * valuesPerKey, 2 * valueHeads);
  }

  /** Divides a head by its length, times `factor`. */
  function shorten(at: number, factor: number): void {
    let squares = LENGTH_EPSILON;
    for (let i = 0; i < keyDim; i++) squares += floats[at + i]! ** 2;
    const scale = factor / Math.sqrt(squares);
    for (let i = 0; i < keyDim; i++) floats[at + i]! *= scale;
  }

  function runToken(state: number, token: number): void {
    const x = mixed + token * channels;
    convolve(x, state, x);
    for (let h = 0; h < keyHeads; h++) {
      shorten(x + h * keyDim, keyDim ** -0.5);
      shorten(x + keys + h * keyDim, 1);
    }
    for (let v = 0; v < valueHeads; v++) {
      const h = Math.floor(v / valuesPerKey);
      const at = numbers + token * 2 * valueHeads + v;
      const beta = 1 / (1 + Math.exp(-floats[at]!));
      const raw = floats[at + valueHeads]! + biases[v]!;
      const decay = Math.exp(rates[v]! * (raw > 20 ? raw : Math.log1p(Math.exp(raw))));
      kernels.gatedDeltaHead(
        (state + historyValues + v * valueDim * keyDim) * 4,
        (x + h * keyDim) * 4,
        (x + keys + h * keyDim) * 4,
        (x + 2 * keys + v * valueDim) * 4,
        (result + token * values + v * valueDim) * 4,
        keyDim,
        valueDim,
        decay,
        beta,
      );
    }
    const own = (result + token * values) * 4;
    kernels.rmsNorm(own, norm!.weight, own, valueHeads, valueDim, norm!.epsilon);
    kernels.siluMultiply((gates + token * values) * 4, own, own, values);
  }

  return {
    kept: [{ buffer: buffers.attention, width: values }],
    remember(tokens, sequences) {
      matrices.input(buffers.normed, tokens);
      if (byHead) projectByHead(tokens);
      else projectApart(tokens);
      runStates(floats, step, place, sequences, (state, first, count) => {
        for (let t = first; t < first + count; t++) runToken(state, t);
      });
    },
    finish(rows) {
      matrices.input(buffers.attention, rows);
      matrices.multiply(layer.output!, buffers.partial);
    },
  };
}
