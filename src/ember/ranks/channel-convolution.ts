import type { ConvolutionPlacement } from '../load/rank-plan.ts';

/** y [channels] = SiLU of the convolution over the last tokens' x, and `history` [kernel − 1, channels] moves on by one. Indices of f32 values. */
export type ChannelConvolution = (x: number, history: number, y: number) => void;

/** Causal convolution of each channel by itself, one token at a time. */
export function createChannelConvolution(floats: Float32Array, { kernel, parts }: ConvolutionPlacement): ChannelConvolution {
  const channels = parts.reduce((sum, part) => sum + part.channels, 0);
  // [kernel, channels], so that a token's values are read in order.
  const weights = new Float32Array(kernel * channels);
  const biases = new Float32Array(channels);
  let first = 0;
  for (const { channels: own, weight, bias } of parts) {
    for (let c = 0; c < own; c++) {
      for (let j = 0; j < kernel; j++) weights[j * channels + first + c] = floats[weight / 4 + c * kernel + j]!;
      if (bias !== 0) biases[first + c] = floats[bias / 4 + c]!;
    }
    first += own;
  }
  const last = kernel - 1;
  const sums = new Float32Array(channels);
  return (x, history, y) => {
    for (let c = 0; c < channels; c++) sums[c] = biases[c]! + weights[last * channels + c]! * floats[x + c]!;
    for (let j = 0; j < last; j++) for (let c = 0; c < channels; c++) sums[c]! += weights[j * channels + c]! * floats[history + j * channels + c]!;
    floats.copyWithin(history, history + channels, history + last * channels);
    if (last > 0) floats.copyWithin(history + (last - 1) * channels, x, x + channels);
    for (let c = 0; c < channels; c++) floats[y + c] = sums[c]! / (1 + Math.exp(-sums[c]!));
  };
}
