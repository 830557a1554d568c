import type { BranchPlacement, FeedForwardPlacement, LayerPlacement, MixerPlacement } from '../load/rank-plan.ts';
import { createNorm, type FeedForward, type Mixer, type RankContext } from './rank-context.ts';
import { createAttention } from './run-attention.ts';
import { createExperts } from './run-experts.ts';
import { createLatentAttention } from './run-latent-attention.ts';
import { createNetwork } from './run-network.ts';
import { createShortConvolution } from './run-short-convolution.ts';

export interface LayerRunner {
  /** Norm and first half of the mixer, for all tokens: the cache holds them afterwards. */
  remember(tokens: number, sequences: number): void;
  /** Buffers whose rows count until the layer is done, the residual among them. */
  readonly kept: Mixer['kept'];
  /** Second half of the mixer, and the feed-forward network, for the rows that are left. */
  finish(rows: number, sequences: number, trimmed: boolean): void;
}

/** One layer on one rank; everything optional is decided here, once. */
export function createLayer(context: RankContext, layer: LayerPlacement): LayerRunner {
  const { kernels, buffers, hidden, sum } = context;
  const mixer = createMixer(context, layer.mixer.body);
  const network = createFeedForward(context, layer.feedForward.body);
  const mixerNorm = layer.mixer.norm && createNorm(kernels, layer.mixer.norm);
  const networkNorm = layer.feedForward.norm && createNorm(kernels, layer.feedForward.norm);
  const networkInput = networkNorm || layer.parallel ? buffers.normed : buffers.residual;
  const addMixer = createJoin(context, layer.mixer);
  const addNetwork = createJoin(context, layer.feedForward);
  const participants = Math.max(layer.mixer.participants, layer.feedForward.participants);
  const mixes = context.rank < layer.mixer.participants;
  const feeds = context.rank < layer.feedForward.participants;
  const residual = { buffer: buffers.residual, width: hidden };
  const normed = { buffer: buffers.normed, width: hidden };

  return {
    kept: layer.parallel ? [residual, ...mixer.kept.filter(({ buffer }) => buffer !== normed.buffer), normed] : [residual, ...mixer.kept],
    remember(tokens, sequences) {
      if (mixerNorm) mixerNorm(buffers.residual, buffers.normed, tokens);
      else context.floats.copyWithin(buffers.normed / 4, buffers.residual / 4, buffers.residual / 4 + tokens * hidden);
      mixer.remember(tokens, sequences);
    },
    finish(rows, sequences, trimmed) {
      mixer.finish(rows, sequences, trimmed);
      if (layer.parallel) {
        // Both outputs go over the ranks together.
        if (feeds) network(buffers.normed, mixes ? buffers.gathered : buffers.partial, rows);
        if (feeds && mixes) kernels.addInto(buffers.partial, buffers.gathered, rows * hidden);
        sum.addPartials(rows, participants, layer.feedForward.factor);
        return;
      }
      addMixer(rows);
      networkNorm?.(buffers.residual, buffers.normed, rows);
      network(networkInput, buffers.partial, rows);
      addNetwork(rows);
    },
  };
}

function createMixer(context: RankContext, body: MixerPlacement): Mixer {
  if (body.kind === 'attention') return createAttention(context, body);
  return body.kind === 'latent-attention' ? createLatentAttention(context, body) : createShortConvolution(context, body);
}

function createFeedForward(context: RankContext, body: FeedForwardPlacement): FeedForward {
  return body.kind === 'experts' ? createExperts(context, body) : createNetwork(context, body);
}

/** Adds the ranks' partial outputs of a branch to the residual. */
function createJoin({ kernels, buffers, hidden, sum }: RankContext, branch: BranchPlacement<unknown>): (rows: number) => void {
  const { participants, factor } = branch;
  const outputNorm = branch.outputNorm && createNorm(kernels, branch.outputNorm);
  const residualNorm = branch.residualNorm && createNorm(kernels, branch.residualNorm);
  if (outputNorm === null && residualNorm === null) return (rows) => sum.addPartials(rows, participants, factor);
  return (rows) => {
    if (outputNorm) {
      sum.sumPartials(rows, participants);
      outputNorm(buffers.partial, buffers.partial, rows);
      if (factor === 1) kernels.addInto(buffers.residual, buffers.partial, rows * hidden);
      else kernels.addScaled(buffers.residual, buffers.partial, rows * hidden, factor);
    } else sum.addPartials(rows, participants, factor);
    residualNorm?.(buffers.residual, buffers.residual, rows);
  };
}
