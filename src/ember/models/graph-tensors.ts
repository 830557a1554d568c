import type { FeedForward, Linear, Mixer, ModelGraph, Norm } from './model-graph.ts';

/** Tensors that a graph names: matrices, norms, and other vectors with their shapes. */
export interface GraphTensors {
  readonly linears: readonly Linear[];
  readonly norms: readonly Norm[];
  readonly vectors: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

export function graphTensors(graph: ModelGraph): GraphTensors {
  const { embedding, head, classifier } = graph;
  const mixers = graph.layers.map((layer) => mixerTensors(layer.mixer.body));
  const networks = graph.layers.map((layer) => networkTensors(layer.feedForward.body));
  const branches = graph.layers.flatMap(({ mixer, feedForward, parallel }) => [
    ...[mixer.norm, mixer.outputNorm, mixer.residualNorm],
    ...[parallel ? null : feedForward.norm, feedForward.outputNorm, feedForward.residualNorm],
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
  const { convolution, convolutionBias, channels, kernel } = mixer;
  return {
    linears: [mixer.gateIn, mixer.gateOut, mixer.value, mixer.output],
    norms: [],
    vectors: [
      { name: `${convolution}.weight`, shape: [channels, kernel, 1] },
      ...(convolutionBias ? [{ name: `${convolution}.bias`, shape: [channels] }] : []),
    ],
  };
}

function networkTensors(network: FeedForward): GraphTensors {
  if (network.kind === 'plain') return { linears: [network.up, network.down], norms: [], vectors: [] };
  const own = [network.gate, network.up, network.down];
  if (network.kind === 'gated') return { linears: own, norms: [], vectors: [] };
  const { router, shared } = network;
  return {
    linears: [router.linear, ...own, ...(shared ? [shared.gate, shared.up, shared.down] : [])],
    norms: [],
    vectors: router.correction === null ? [] : [{ name: router.correction, shape: [router.linear.outputs] }],
  };
}
