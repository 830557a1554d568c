import type { BranchPlacement, FeedForwardPlacement, LayerPlacement, MixerPlacement } from '../load/rank-plan.ts';
import { createNorm, type FeedForward, type Mixer, type RankContext } from './rank-context.ts';
import { createAttention } from './run-attention.ts';
import { createExperts } from './run-experts.ts';
import { createGatedDelta } from './run-gated-delta.ts';
import { createLatentAttention } from './run-latent-attention.ts';
import { createNetwork } from './run-network.ts';
import { createShortConvolution } from './run-short-convolution.ts';
import { createStateSpace } from './run-state-space.ts';

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
  const residual = { buffer: context.buffers.residual, width: context.hidden };
  const { mixer, feedForward } = layer;
  if (mixer === null) return { remember: () => {}, kept: [residual], finish: createFeeding(context, feedForward) };
  const mixing = createMixer(context, mixer.body);
  const norm = mixer.norm && createNorm(context.kernels, mixer.norm);
  const { buffers, floats, hidden } = context;
  const remember = (tokens: number, sequences: number): void => {
    if (norm) norm(buffers.residual, buffers.normed, tokens);
    else floats.copyWithin(buffers.normed / 4, buffers.residual / 4, buffers.residual / 4 + tokens * hidden);
    mixing.remember(tokens, sequences);
  };
  if (layer.parallel && feedForward !== null) {
    const normed = { buffer: buffers.normed, width: hidden };
    const kept = [residual, ...mixing.kept.filter(({ buffer }) => buffer !== normed.buffer), normed];
    return { remember, kept, finish: createParallel(context, mixing, mixer, feedForward) };
  }
  const add = createJoin(context, mixer);
  const feed = createFeeding(context, feedForward);
  return {
    remember,
    kept: [residual, ...mixing.kept],
    finish(rows, sequences, trimmed) {
      mixing.finish(rows, sequences, trimmed);
      add(rows);
      feed(rows);
    },
  };
}

/** The feed-forward branch on the residual. */
function createFeeding(context: RankContext, branch: LayerPlacement['feedForward']): (rows: number) => void {
  if (branch === null) return () => {};
  const { kernels, buffers } = context;
  const network = createFeedForward(context, branch.body);
  const norm = branch.norm && createNorm(kernels, branch.norm);
  const add = createJoin(context, branch);
  const input = norm ? buffers.normed : buffers.residual;
  return (rows) => {
    norm?.(buffers.residual, buffers.normed, rows);
    network(input, buffers.partial, rows);
    add(rows);
  };
}

/** Both branches read the mixer's norm, and their outputs go over the ranks together. */
function createParallel(
  context: RankContext,
  mixing: Mixer,
  mixer: BranchPlacement<MixerPlacement>,
  feedForward: BranchPlacement<FeedForwardPlacement>,
): LayerRunner['finish'] {
  const { kernels, buffers, hidden, sum, rank } = context;
  const network = createFeedForward(context, feedForward.body);
  const participants = Math.max(mixer.participants, feedForward.participants);
  const [mixes, feeds] = [rank < mixer.participants, rank < feedForward.participants];
  return (rows, sequences, trimmed) => {
    mixing.finish(rows, sequences, trimmed);
    if (feeds) network(buffers.normed, mixes ? buffers.gathered : buffers.partial, rows);
    if (feeds && mixes) kernels.addInto(buffers.partial, buffers.gathered, rows * hidden);
    sum.addPartials(rows, participants, feedForward.factor);
  };
}

function createMixer(context: RankContext, body: MixerPlacement): Mixer {
  if (body.kind === 'attention') return createAttention(context, body);
  if (body.kind === 'latent-attention') return createLatentAttention(context, body);
  if (body.kind === 'state-space') return createStateSpace(context, body);
  return body.kind === 'gated-delta' ? createGatedDelta(context, body) : createShortConvolution(context, body);
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
