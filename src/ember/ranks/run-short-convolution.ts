import { PAGE_TOKENS } from '../kernel-interface.ts';
import type { ShortConvolutionPlacement } from '../load/rank-plan.ts';
import type { Mixer, RankContext } from './rank-context.ts';
import { HEADER, RECORD } from './step-words.ts';

/**
 * Gated causal convolution of the rank's channels. What a later token needs of earlier ones are the last kernel − 1 gated values of a channel:
 * each page of the cache keeps them as they were behind its newest cell. So a full page is a checkpoint at its end, and prefixes are shared by
 * pages as they are for attention.
 */
export function createShortConvolution(context: RankContext, layer: ShortConvolutionPlacement): Mixer {
  const { kernels, buffers, matrices, floats, words, step } = context;
  const { channels, kernel, bias, kvBase, pageStride } = layer;
  if (channels === 0) return { remember: () => {}, kept: [], finish: () => {} };
  const history = kernel - 1;
  const weights = floats.subarray(layer.weight / 4, layer.weight / 4 + channels * kernel);
  const biases = bias === 0 ? new Float32Array(channels) : floats.subarray(bias / 4, bias / 4 + channels);
  const gated = buffers.query / 4;
  const gateOut = buffers.key / 4;
  const result = buffers.attention / 4;
  /** Gated values of the `history` cells before the step, [history, channels]. */
  const before = new Float32Array(history * channels);

  const stateOf = (pages: number, cell: number): number => (kvBase + words[pages + Math.floor(cell / PAGE_TOKENS)]! * pageStride) / 4;

  /** Row `row` of the step, or of what was before it when negative. */
  function copyRow(to: number, row: number, first: number): void {
    if (row >= 0) floats.copyWithin(to, gated + (first + row) * channels, gated + (first + row + 1) * channels);
    else floats.set(before.subarray((history + row) * channels, (history + row + 1) * channels), to);
  }

  function convolve(first: number, tokens: number): void {
    for (let t = 0; t < tokens; t++) {
      const out = result + (first + t) * channels;
      for (let c = 0; c < channels; c++) {
        let total = biases[c]!;
        for (let j = 0; j < kernel; j++) {
          const row = t - history + j;
          total += weights[c * kernel + j]! * (row >= 0 ? floats[gated + (first + row) * channels + c]! : before[(history + row) * channels + c]!);
        }
        floats[out + c] = total * floats[gateOut + (first + t) * channels + c]!;
      }
    }
  }

  return {
    kept: [{ buffer: buffers.attention, width: channels }],

    remember(tokens, sequences) {
      matrices.input(buffers.normed, tokens);
      matrices.multiply(layer.gateIn!, buffers.query);
      matrices.multiply(layer.gateOut!, buffers.key);
      matrices.multiply(layer.value!, buffers.value);
      kernels.multiplyInto(buffers.query, buffers.value, tokens * channels);
      for (let s = 0; s < sequences; s++) {
        const record = HEADER.words + s * RECORD.words;
        const position = step[record + RECORD.position]!;
        const first = step[record + RECORD.firstToken]!;
        const count = step[record + RECORD.tokens]!;
        const pages = buffers.step / 4 + step[record + RECORD.pages]!;
        if (position === 0) before.fill(0);
        else before.set(floats.subarray(stateOf(pages, position - 1), stateOf(pages, position - 1) + before.length));
        convolve(first, count);
        for (let cell = position; cell < position + count; ) {
          const end = Math.min(position + count, (Math.floor(cell / PAGE_TOKENS) + 1) * PAGE_TOKENS);
          const state = stateOf(pages, cell);
          for (let i = 0; i < history; i++) copyRow(state + i * channels, end - position - history + i, first);
          cell = end;
        }
      }
    },

    finish(rows) {
      matrices.input(buffers.attention, rows);
      matrices.multiply(layer.output!, buffers.partial);
    },
  };
}
