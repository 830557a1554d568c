import { type Kernels, PAGE_TOKENS } from '../kernel-interface.ts';
import type { ModelGraph } from '../models/model-graph.ts';
import { MAX_CANDIDATES, maskWords, stepWords } from '../ranks/step-words.ts';
import type { PageGroup } from '../types.ts';
import type { RankLayout } from './rank-layout.ts';
import type { Buffers, FeedForwardPlacement, HeadPlacement, LayerPlacement, MatrixPlacement, MixerPlacement } from './rank-plan.ts';

export interface BufferShape {
  readonly graph: ModelGraph;
  readonly ranks: number;
  readonly batchTokens: number;
  readonly pageGroups: readonly PageGroup[];
  /** Own rows of the head. */
  readonly vocabulary: number;
  readonly sizes: Pick<Kernels, 'preparedBytes' | 'attendScratchBytes'>;
}

/** f32 values per token that the layers of one rank need in each buffer. */
const NOTHING = { query: 0, key: 0, value: 0, attention: 0, gate: 0, up: 0, gathered: 0, routerLogits: 0, low: 0, headIn: 0, headOut: 0 };
type Widths = typeof NOTHING;

/** Buffers of a step, each as wide as its widest layer needs. */
export function layBuffers(shape: BufferShape, layers: readonly LayerPlacement[], head: HeadPlacement | null, layout: RankLayout): Buffers {
  const { graph, ranks, batchTokens, pageGroups, sizes } = shape;
  const { take } = layout;
  const floats = (perToken: number) => take(batchTokens * perToken * 4);
  const widths = layers.map((layer) => widthsOf(layer, batchTokens, graph.hidden));
  const widest = (key: keyof Widths) => floats(Math.max(0, ...widths.map((own) => own[key])));
  const matrices = [...layers.flatMap(matricesOf), head?.matrix ?? null].filter((matrix) => matrix !== null);
  const preparedBytes = (tokens: number) =>
    maximum(
      matrices.map((matrix) => (matrix.form === 'affine' ? sizes.preparedBytes(matrix.activation, matrix.bits, matrix.group, tokens, matrix.columns) : 0)),
    );
  // Behind no tokens lies the room alone.
  const helperRoomBytes = Math.ceil(preparedBytes(0) / 64) * 64;
  const scratchBytes = layers.map(({ mixer }) => {
    const body = mixer?.body;
    if ((body?.kind !== 'attention' && body?.kind !== 'latent-attention') || body.heads === 0) return 0;
    const headDim = body.kind === 'attention' ? body.headDim : body.latent + body.rotated;
    return sizes.attendScratchBytes(batchTokens, body.heads, headDim, pageGroups[0]!.pageCount * PAGE_TOKENS);
  });
  return {
    residual: floats(graph.hidden),
    normed: floats(graph.hidden),
    query: widest('query'),
    key: widest('key'),
    value: widest('value'),
    attention: widest('attention'),
    gate: widest('gate'),
    up: widest('up'),
    partial: floats(graph.hidden),
    incoming: floats(graph.hidden),
    gathered: widest('gathered'),
    expertOutput: widest('gathered'),
    routerLogits: widest('routerLogits'),
    low: widest('low'),
    headIn: widest('headIn'),
    headOut: widest('headOut'),
    ropes: graph.ropes.map((rope) => ({ cosines: floats(rope.inverseFrequencies.length), sines: floats(rope.inverseFrequencies.length) })),
    prepared: take(preparedBytes(batchTokens)),
    helperRooms: take((ranks - 1) * helperRoomBytes),
    helperRoomBytes,
    attendScratch: take(maximum(scratchBytes)),
    maxAndSum: take(8),
    candidateIds: take(MAX_CANDIDATES * 4),
    candidateValues: take(MAX_CANDIDATES * 4),
    staging: take(maximum(layout.reads.map((read) => (read.widen === null ? 0 : read.rows * read.bytes)))),
    step: take(stepWords(batchTokens, pageGroups) * 4),
    adjusted: take(shape.vocabulary * 4),
    mask: take(maskWords(graph.vocabulary) * 4),
    logits: floats(shape.vocabulary),
  };
}

const maximum = (values: readonly number[]): number => values.reduce((most, value) => Math.max(most, value), 0);

function widthsOf({ mixer, feedForward, parallel }: LayerPlacement, batchTokens: number, hidden: number): Widths {
  const network = feedForward?.body;
  const experts = network?.kind === 'experts';
  // One token goes to several experts at once.
  const rows = experts ? Math.max(1, network.router.take / batchTokens) : 1;
  const width = Math.max((network?.width ?? 0) * rows, experts ? (network.shared?.width ?? 0) : 0);
  return {
    ...NOTHING,
    ...(mixer === null ? {} : mixerWidths(mixer.body)),
    gate: width,
    up: width,
    gathered: experts || parallel ? hidden : 0,
    routerLogits: experts ? Math.max(network.routerMatrix?.rows ?? 0, 1) : 0,
  };
}

function mixerWidths(body: MixerPlacement): Partial<Widths> {
  if (body.kind === 'attention') {
    const [queries, keys] = [body.heads * body.headDim, body.kvHeads * body.headDim];
    return { query: queries, key: keys, value: body.gated ? Math.max(keys, 2 * queries) : keys, attention: queries };
  }
  if (body.kind === 'state-space') {
    const [values, shared] = [body.heads * body.headDim, body.groups * body.state];
    return { query: values + 2 * shared, key: values, value: Math.max(values, shared), attention: values, low: body.heads };
  }
  if (body.kind === 'gated-delta') {
    const { keyHeads, valuesPerKey, keyDim, valueDim } = body;
    const [keys, values] = [keyHeads * keyDim, keyHeads * valuesPerKey * valueDim];
    return { query: 2 * keys + values, key: values, value: 2 * keys + 2 * values, attention: values, low: 2 * keyHeads * valuesPerKey };
  }
  if (body.kind === 'short-convolution') return { query: body.channels, key: body.channels, value: body.channels, attention: body.channels };
  const { heads, latent, plain, rotated, valueDim } = body;
  const cell = latent + rotated;
  return {
    // Queries as they come, and as they meet the cells.
    value: heads * (plain + rotated),
    query: heads * Math.max(cell, valueDim),
    key: cell,
    attention: heads * cell,
    low: Math.max(body.queryDown?.rows ?? 0, cell),
    headIn: Math.max(plain, latent),
    headOut: Math.max(latent, valueDim),
  };
}

function matricesOf({ mixer, feedForward }: LayerPlacement): (MatrixPlacement | null)[] {
  return [...(mixer === null ? [] : mixerMatrices(mixer.body)), ...(feedForward === null ? [] : networkMatrices(feedForward.body))];
}

function networkMatrices(network: FeedForwardPlacement): (MatrixPlacement | null)[] {
  if (network.kind !== 'experts') return [network.gate, network.up, network.down];
  const { routerMatrix, gate, up, down, shared, sharedGate } = network;
  // All experts have one shape.
  return [routerMatrix, gate[0] ?? null, up[0] ?? null, down[0] ?? null, sharedGate, ...(shared === null ? [] : networkMatrices(shared))];
}

function mixerMatrices(body: MixerPlacement): (MatrixPlacement | null)[] {
  if (body.kind === 'attention') return [body.query, body.key, body.value, body.output];
  if (body.kind === 'short-convolution') return [body.gateIn, body.gateOut, body.value, body.output];
  if (body.kind === 'state-space') return [body.gate, body.x, body.b, body.c, body.step, body.output];
  if (body.kind === 'gated-delta') return [...body.projections, body.output];
  const heads = [body.queryToLatent[0] ?? null, body.latentToValue[0] ?? null];
  return [...heads, body.query, body.queryDown, body.keyValue, body.output];
}
