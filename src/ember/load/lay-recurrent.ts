import { projectionsOf } from '../models/graph-tensors.ts';
import type { ChannelConvolution, GatedDelta, StateSpace } from '../models/model-graph.ts';
import { type LayerShape, sharing, times, unitOf } from './layer-shape.ts';
import type { RankLayout } from './rank-layout.ts';
import type { ConvolutionPlacement, GatedDeltaPlacement, MatrixPlacement, StateSpacePlacement } from './rank-plan.ts';
import { type Range, splitHeads } from './split.ts';

/** Layers with running states, split by heads. */

export function layStateSpace(mixer: StateSpace, shape: LayerShape, rank: number, layout: RankLayout): { body: StateSpacePlacement; participants: number } {
  const { headDim, state, groups, norm, normGroups } = mixer;
  const splits = splitHeads(mixer.heads, groups, headDim, shape.ranks, unitOf(shape, mixer.output));
  const own = splits[rank]!;
  const [values, shared] = [times(own.heads, headDim), times(own.kvHeads, state)];
  const has = own.heads.count > 0;
  const vector = (name: string) => (has ? layout.vector(name, own.heads) : 0);
  const [inner, outer] = [mixer.heads * headDim, groups * state];
  const body: StateSpacePlacement = {
    kind: 'state-space',
    heads: own.heads.count,
    groups: own.kvHeads.count,
    headDim,
    state,
    headToGroup: own.headToKv,
    gate: layout.rows(mixer.gate, values),
    x: layout.rows(mixer.x, values),
    b: layout.rows(mixer.b, shared),
    c: layout.rows(mixer.c, shared),
    step: layout.rows(mixer.step, own.heads),
    convolution: layConvolution(mixer.convolution, has ? [values, shift(shared, inner), shift(shared, inner + outer)] : [], layout),
    decay: vector(mixer.decay),
    skip: vector(mixer.skip),
    stepBias: vector(mixer.stepBias),
    stepLimits: mixer.stepLimits,
    normWeight: has ? layout.normPart(norm, values).weight : 0,
    epsilon: norm.epsilon,
    normSize: norm.size / normGroups,
    normGroups,
    firstValue: values.first,
    output: layout.columns(mixer.output, values),
    kvBase: 0,
    pageStride: ((mixer.convolution.kernel - 1) * (values.count + 2 * shared.count) + values.count * state) * 4,
  };
  return { body, participants: sharing(splits.map((split) => split.heads.count)) };
}

export function layGatedDelta(mixer: GatedDelta, shape: LayerShape, rank: number, layout: RankLayout): { body: GatedDeltaPlacement; participants: number } {
  const { keyHeads, keyDim, valueDim, projections } = mixer;
  const valuesPerKey = mixer.valueHeads / keyHeads;
  const splits = splitHeads(keyHeads, keyHeads, valuesPerKey * valueDim, shape.ranks, unitOf(shape, mixer.output));
  const { heads } = splits[rank]!;
  const [keys, valueHeads] = [times(heads, keyDim), times(heads, valuesPerKey)];
  const values = times(valueHeads, valueDim);
  const has = heads.count > 0;
  const parts: readonly Range[] =
    projections.kind === 'by-head'
      ? [times(heads, 2 * keyDim + 2 * valuesPerKey * valueDim), times(valueHeads, 2)]
      : [keys, keys, values, values, valueHeads, valueHeads];
  const matrices = projectionsOf(mixer).map((linear, i) => layout.rows(linear, parts[i]!));
  const width = keyHeads * keyDim;
  const body: GatedDeltaPlacement = {
    kind: 'gated-delta',
    keyHeads: heads.count,
    valuesPerKey,
    keyDim,
    valueDim,
    projections: matrices.filter((matrix): matrix is MatrixPlacement => matrix !== null),
    byHead: projections.kind === 'by-head',
    convolution: layConvolution(mixer.convolution, has ? [keys, shift(keys, width), shift(values, 2 * width)] : [], layout),
    decay: has ? layout.vector(mixer.decay, valueHeads) : 0,
    decayBias: has ? layout.vector(mixer.decayBias, valueHeads) : 0,
    norm: has ? layout.norm(mixer.norm) : null,
    output: layout.columns(mixer.output, values),
    kvBase: 0,
    pageStride: ((mixer.convolution.kernel - 1) * (2 * keys.count + values.count) + values.count * keyDim) * 4,
  };
  return { body, participants: sharing(splits.map((split) => split.heads.count)) };
}

const shift = ({ first, count }: Range, by: number): Range => ({ first: first + by, count });

const layConvolution = ({ path, kernel, bias }: ChannelConvolution, parts: readonly Range[], layout: RankLayout): ConvolutionPlacement => ({
  kernel,
  table: layout.take(parts.reduce((sum, part) => sum + part.count, 0) * (kernel + 2) * 4),
  parts: parts.map((part) => ({
    channels: part.count,
    weight: layout.vector(`${path}.weight`, part, kernel),
    bias: bias ? layout.vector(`${path}.bias`, part) : 0,
  })),
});
