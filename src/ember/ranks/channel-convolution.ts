import type { ConvolutionPlacement } from '../load/rank-plan.ts';
import type { RankContext } from './rank-context.ts';

/** y [channels] = SiLU of the convolution over the last tokens' x, and `history` [kernel − 1, channels] moves on by one. Indices of f32 values. */
export type ChannelConvolution = (x: number, history: number, y: number) => void;

/** Causal convolution of each channel by itself, one token at a time. */
export function createChannelConvolution(
  { floats, kernels }: Pick<RankContext, 'floats' | 'kernels'>,
  { kernel, parts, table }: ConvolutionPlacement,
): ChannelConvolution {
  const channels = parts.reduce((sum, part) => sum + part.channels, 0);
  const weights = table / 4;
  const biases = weights + kernel * channels;
  const sums = biases + channels;
  floats.fill(0, biases, sums);
  let first = 0;
  for (const { channels: own, weight, bias } of parts) {
    for (let c = 0; c < own; c++) {
      for (let j = 0; j < kernel; j++) floats[weights + j * channels + first + c] = floats[weight / 4 + c * kernel + j]!;
      if (bias !== 0) floats[biases + first + c] = floats[bias / 4 + c]!;
    }
    first += own;
  }
  const last = kernel - 1;
  return (x, history, y) => {
    floats.copyWithin(sums, biases, biases + channels);
    for (let j = 0; j < last; j++) kernels.addProduct(sums * 4, (weights + j * channels) * 4, (history + j * channels) * 4, channels);
    kernels.addProduct(sums * 4, (weights + last * channels) * 4, x * 4, channels);
    floats.copyWithin(history, history + channels, history + last * channels);
    if (last > 0) floats.copyWithin(history + (last - 1) * channels, x, x + channels);
    kernels.silu(sums * 4, y * 4, channels);
  };
}
