import type { ChannelConvolution, FeedForward, GatedDelta, Linear, Mixer, ModelGraph, Norm } from './model-graph.ts';

/** Tensors that a graph names: matrices, norms, and other vectors with their shapes. */
export interface GraphTensors {
  readonly linears: readonly Linear[];
  readonly norms: readonly Norm[];
  readonly vectors: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

export function graphTensors(graph: ModelGraph): GraphTensors {
  const { embedding, head, classifier } = graph;
  const mixers = graph.layers.flatMap(({ mixer }) => (mixer === null ? [] : [mixerTensors(mixer.body)]));
  const networks = graph.layers.flatMap(({ feedForward }) => (feedForward === null ? [] : [networkTensors(feedForward.body)]));
  const branches = graph.layers.flatMap(({ mixer, feedForward, parallel }) => [
    ...(mixer === null ? [] : [mixer.norm, mixer.outputNorm, mixer.residualNorm]),
    ...(feedForward === null ? [] : [parallel ? null : feedForward.norm, feedForward.outputNorm, feedForward.residualNorm]),
  ]);
  const parts = [...mixers, ...networks];
  return {
    linears: present([
      ...[embedding.table, embedding.positions, embedding.types, head?.linear ?? null],
      ...[classifier?.dense ?? null, classifier?.output ?? null],
      ...parts.flatMap((part) => part.linears),
    ]),
    norms: present([embedding.norm, graph.finalNorm, ...branches, ...parts.flatMap((part) => part.norms)]),
    vectors: parts.flatMap((part) => part.vectors),
  };
}

const present = <T>(values: readonly (T | null)[]): T[] => values.filter((value) => value !== null);

function mixerTensors(mixer: Mixer): GraphTensors {
  if (mixer.kind === 'attention')
    return {
      linears: [mixer.query, mixer.key, mixer.value, mixer.output],
      norms: present([mixer.queryNorm, mixer.keyNorm]),
      vectors: mixer.sinks === null ? [] : [{ name: mixer.sinks, shape: [mixer.heads] }],
    };
  if (mixer.kind === 'latent-attention')
    return {
      linears: present([mixer.query, mixer.queryDown, mixer.keyValue, mixer.queryToLatent, mixer.latentToValue, mixer.output]),
      norms: present([mixer.queryDownNorm, mixer.latentNorm]),
      vectors: [],
    };
  if (mixer.kind === 'state-space')
    return {
      linears: [mixer.gate, mixer.x, mixer.b, mixer.c, mixer.step, mixer.output],
      norms: [mixer.norm],
      vectors: [...convolutionTensors(mixer.convolution), ...[mixer.decay, mixer.skip, mixer.stepBias].map((name) => ({ name, shape: [mixer.heads] }))],
    };
  if (mixer.kind === 'gated-delta')
    return {
      linears: [...projectionsOf(mixer), mixer.output],
      norms: [mixer.norm],
      vectors: [...convolutionTensors(mixer.convolution), ...[mixer.decay, mixer.decayBias].map((name) => ({ name, shape: [mixer.valueHeads] }))],
    };
  const { convolution, convolutionBias, channels, kernel } = mixer;
  return {
    linears: [mixer.gateIn, mixer.gateOut, mixer.value, mixer.output],
    norms: [],
    vectors: convolutionTensors({ path: convolution, channels, kernel, bias: convolutionBias }),
  };
}

const convolutionTensors = ({ path, channels, kernel, bias }: ChannelConvolution) => [
  { name: `${path}.weight`, shape: [channels, kernel, 1] },
  ...(bias ? [{ name: `${path}.bias`, shape: [channels] }] : []),
];

/** Matrices that make the vectors and numbers of a gated delta layer. */
export function projectionsOf({ projections }: GatedDelta): readonly Linear[] {
  if (projections.kind === 'by-head') return [projections.vectors, projections.numbers];
  const { query, key, value, gate, beta, decay } = projections;
  return [query, key, value, gate, beta, decay];
}

function networkTensors(network: FeedForward): GraphTensors {
  if (network.kind === 'plain') return { linears: [network.up, network.down], norms: [], vectors: [] };
  if (network.kind === 'gated') return { linears: [network.gate, network.up, network.down], norms: [], vectors: [] };
  const { router, gate, up, down, shared, sharedGate } = network;
  return {
    linears: [...present([router.linear, gate, up, down, sharedGate]), ...(shared === null ? [] : networkTensors(shared).linears)],
    norms: [],
    vectors: router.correction === null ? [] : [{ name: router.correction, shape: [router.linear.outputs] }],
  };
}
