import { groupOf } from '../kv/page-groups.ts';
import type {
  Attention,
  Branch,
  FeedForward,
  GatedNetwork,
  LatentAttention,
  Layer,
  Linear,
  Mixer,
  PlainNetwork,
  ShortConvolution,
} from '../models/model-graph.ts';
import type { PageGroup } from '../types.ts';
import { layGatedDelta, layStateSpace } from './lay-recurrent.ts';
import { type LayerShape, sharing, times, unitOf } from './layer-shape.ts';
import type { RankLayout } from './rank-layout.ts';
import type {
  AttentionPlacement,
  BranchPlacement,
  ExpertsPlacement,
  FeedForwardPlacement,
  LatentAttentionPlacement,
  LayerPlacement,
  MixerPlacement,
  NetworkPlacement,
  ShortConvolutionPlacement,
} from './rank-plan.ts';
import { type Range, splitHeads, splitWidth } from './split.ts';

/** Weights of one layer; its cells are laid behind all weights. */
export function layLayer(layer: Layer, shape: LayerShape, rank: number, layout: RankLayout): LayerPlacement {
  const branch = <Body, Placed>(source: Branch<Body>, norm: boolean, placed: { body: Placed; participants: number }): BranchPlacement<Placed> => ({
    norm: norm ? layout.normOrNull(source.norm) : null,
    ...placed,
    outputNorm: layout.normOrNull(source.outputNorm),
    residualNorm: layout.normOrNull(source.residualNorm),
    factor: source.factor,
  });
  const { mixer, feedForward, parallel } = layer;
  return {
    mixer: mixer && branch(mixer, true, layMixer(mixer.body, shape, rank, layout)),
    feedForward: feedForward && branch(feedForward, !parallel, layFeedForward(feedForward.body, shape, rank, layout)),
    parallel,
  };
}

/** The layer with a place for its cells, or for its running states. */
export function layCache(
  layer: LayerPlacement,
  counts: { readonly groups: readonly PageGroup[]; readonly states: number },
  layout: RankLayout,
): LayerPlacement {
  const { mixer } = layer;
  if (mixer === null) return layer;
  const { body } = mixer;
  const group = counts.groups[body.kind === 'attention' ? body.pageGroup : 0]!;
  const count = body.kind === 'state-space' || body.kind === 'gated-delta' ? counts.states : group.pageCount;
  return { ...layer, mixer: { ...mixer, body: { ...body, kvBase: layout.take(count * body.pageStride) } } };
}

function layMixer(mixer: Mixer, shape: LayerShape, rank: number, layout: RankLayout): { body: MixerPlacement; participants: number } {
  if (mixer.kind === 'attention') return layAttention(mixer, shape, rank, layout);
  if (mixer.kind === 'latent-attention') return layLatentAttention(mixer, shape, rank, layout);
  if (mixer.kind === 'state-space') return layStateSpace(mixer, shape, rank, layout);
  if (mixer.kind === 'gated-delta') return layGatedDelta(mixer, shape, rank, layout);
  return layShortConvolution(mixer, shape, rank, layout);
}

function layAttention(mixer: Attention, shape: LayerShape, rank: number, layout: RankLayout): { body: AttentionPlacement; participants: number } {
  const { kvHeads, headDim, queryNorm, keyNorm } = mixer;
  const splits = splitHeads(mixer.heads, kvHeads, headDim, shape.ranks, unitOf(shape, mixer.output));
  const own = splits[rank]!;
  const [queries, keys] = [times(own.heads, headDim), times(own.kvHeads, headDim)];
  const has = own.heads.count > 0;
  const whole = (queryNorm ?? keyNorm)?.size !== headDim;
  const body: AttentionPlacement = {
    kind: 'attention',
    pageGroup: groupOf(shape.pageGroups, mixer.window),
    heads: own.heads.count,
    kvHeads: own.kvHeads.count,
    headDim,
    firstUnsharedKvHead: own.firstUnsharedKvHead,
    query: layout.rows(mixer.query, mixer.gated ? times(queries, 2) : queries),
    key: layout.rows(mixer.key, keys),
    value: layout.rows(mixer.value, keys),
    output: layout.columns(mixer.output, queries),
    queryNorm: has && queryNorm ? (whole ? layout.normPart(queryNorm, queries) : layout.norm(queryNorm)) : null,
    keyNorm: has && keyNorm ? (whole ? layout.normPart(keyNorm, keys) : layout.norm(keyNorm)) : null,
    wholeQueryWidth: queryNorm && whole ? queryNorm.size : 0,
    wholeKeyWidth: keyNorm && whole ? keyNorm.size : 0,
    queryRope: mixer.queryRope,
    keyRope: mixer.keyRope,
    scale: mixer.scale,
    window: mixer.window,
    softCap: mixer.softCap,
    sinks: mixer.sinks !== null && has ? layout.vector(mixer.sinks, own.heads) : 0,
    mask: mixer.mask === 'full' ? 1 : 0,
    gated: mixer.gated ?? false,
    headToKv: own.headToKv,
    headToKvAt: layout.take(own.heads.count * 4),
    kvBase: 0,
    pageStride: has ? shape.sizes.pageBytes(shape.kvType, own.kvHeads.count, headDim, 0) : 0,
  };
  return { body, participants: sharing(splits.map((split) => split.heads.count)) };
}

function layLatentAttention(
  mixer: LatentAttention,
  shape: LayerShape,
  rank: number,
  layout: RankLayout,
): { body: LatentAttentionPlacement; participants: number } {
  const { latent, plain, rotated, valueDim, queryDown } = mixer;
  const splits = splitHeads(mixer.heads, 1, valueDim, shape.ranks, unitOf(shape, mixer.output));
  const { heads } = splits[rank]!;
  const has = heads.count > 0;
  const all = (linear: Linear): Range => ({ first: 0, count: linear.outputs });
  const body: LatentAttentionPlacement = {
    kind: 'latent-attention',
    heads: heads.count,
    latent,
    plain,
    rotated,
    valueDim,
    query: layout.rows(mixer.query, times(heads, plain + rotated)),
    queryDown: has && queryDown ? layout.whole(queryDown) : null,
    queryDownNorm: has ? layout.normOrNull(mixer.queryDownNorm) : null,
    keyValue: has ? layout.whole(mixer.keyValue) : null,
    latentNorm: has ? layout.norm(mixer.latentNorm) : null,
    queryToLatent: layout.stackRows(mixer.queryToLatent, all(mixer.queryToLatent), heads),
    latentToValue: layout.stackRows(mixer.latentToValue, all(mixer.latentToValue), heads),
    output: layout.columns(mixer.output, times(heads, valueDim)),
    rope: mixer.rope,
    scale: mixer.scale,
    headToKvAt: layout.take(heads.count * 4),
    kvBase: 0,
    pageStride: has ? shape.sizes.pageBytes(shape.kvType, 1, latent + rotated, 1) : 0,
  };
  return { body, participants: sharing(splits.map((split) => split.heads.count)) };
}

function layShortConvolution(
  mixer: ShortConvolution,
  shape: LayerShape,
  rank: number,
  layout: RankLayout,
): { body: ShortConvolutionPlacement; participants: number } {
  const { kernel, convolution } = mixer;
  const splits = splitWidth(mixer.channels, shape.ranks, unitOf(shape, mixer.output));
  const own = splits[rank]!;
  const has = own.count > 0;
  const body: ShortConvolutionPlacement = {
    kind: 'short-convolution',
    channels: own.count,
    kernel,
    gateIn: layout.rows(mixer.gateIn, own),
    gateOut: layout.rows(mixer.gateOut, own),
    value: layout.rows(mixer.value, own),
    weight: has ? layout.vector(`${convolution}.weight`, own, kernel) : 0,
    bias: has && mixer.convolutionBias ? layout.vector(`${convolution}.bias`, own) : 0,
    output: layout.columns(mixer.output, own),
    kvBase: 0,
    pageStride: own.count * (kernel - 1) * 4,
  };
  return { body, participants: sharing(splits.map((split) => split.count)) };
}

function layFeedForward(network: FeedForward, shape: LayerShape, rank: number, layout: RankLayout): { body: FeedForwardPlacement; participants: number } {
  if (network.kind !== 'experts') return layNetwork(network, shape, rank, layout);
  const splits = splitWidth(network.up.outputs, shape.ranks, unitOf(shape, network.down));
  const own = splits[rank]!;
  const shared = network.shared ? layNetwork(network.shared, shape, rank, layout) : null;
  const { linear, correction, ...router } = network.router;
  const works = own.count > 0;
  const body: ExpertsPlacement = {
    kind: 'experts',
    width: own.count,
    router,
    routerMatrix: works ? layout.whole(linear) : null,
    correction: works && correction !== null ? layout.vector(correction, { first: 0, count: linear.outputs }) : 0,
    gate: network.gate ? layout.stackRows(network.gate, own) : [],
    up: layout.stackRows(network.up, own),
    down: layout.stackColumns(network.down, own),
    activation: network.activation,
    shared: shared?.body ?? null,
    sharedGate: network.sharedGate && shared && shared.body.width > 0 ? layout.whole(network.sharedGate) : null,
  };
  return { body, participants: Math.max(sharing(splits.map((split) => split.count)), shared?.participants ?? 0) };
}

function layNetwork(
  network: GatedNetwork | PlainNetwork,
  shape: LayerShape,
  rank: number,
  layout: RankLayout,
): { body: NetworkPlacement; participants: number } {
  const splits = splitWidth(network.up.outputs, shape.ranks, unitOf(shape, network.down));
  const own = splits[rank]!;
  const body: NetworkPlacement = {
    kind: network.kind,
    width: own.count,
    gate: network.kind === 'gated' ? layout.rows(network.gate, own) : null,
    up: layout.rows(network.up, own),
    down: layout.columns(network.down, own),
    activation: network.activation,
  };
  return { body, participants: sharing(splits.map((split) => split.count)) };
}
