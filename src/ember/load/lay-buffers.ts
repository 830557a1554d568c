import { type Kernels, PAGE_TOKENS } from '../kernel-interface.ts';
import type { ModelGraph } from '../models/model-graph.ts';
import { MAX_CANDIDATES, maskWords, stepWords } from '../ranks/step-words.ts';
import type { RankLayout } from './rank-layout.ts';
import type { Buffers, HeadPlacement, LayerPlacement, MatrixPlacement } from './rank-plan.ts';

export interface BufferShape {
  readonly graph: ModelGraph;
  readonly batchTokens: number;
  readonly pageCount: number;
  /** Own rows of the head. */
  readonly vocabulary: number;
  readonly sizes: Pick<Kernels, 'preparedBytes' | 'attendScratchBytes'>;
}

/** f32 values per token that the layers of one rank need in each buffer. */
const NOTHING = { query: 0, key: 0, value: 0, attention: 0, gate: 0, up: 0, gathered: 0, routerLogits: 0, low: 0, headIn: 0, headOut: 0 };
type Widths = typeof NOTHING;

/** Buffers of a step, each as wide as its widest layer needs. */
export function layBuffers(shape: BufferShape, layers: readonly LayerPlacement[], head: HeadPlacement | null, layout: RankLayout): Buffers {
  const { graph, batchTokens, pageCount, sizes } = shape;
  const { take } = layout;
  const floats = (perToken: number) => take(batchTokens * perToken * 4);
  const widths = layers.map((layer) => widthsOf(layer, batchTokens, graph.hidden));
  const widest = (key: keyof Widths) => floats(Math.max(0, ...widths.map((own) => own[key])));
  const matrices = [...layers.flatMap(matricesOf), head?.matrix ?? null].filter((matrix) => matrix !== null);
  const preparedBytes = matrices.map((matrix) =>
    matrix.form === 'affine' ? sizes.preparedBytes(matrix.activation, matrix.bits, matrix.group, batchTokens, matrix.columns) : 0,
  );
  const scratchBytes = layers.map(({ mixer: { body } }) => {
    if (body.kind === 'short-convolution' || body.heads === 0) return 0;
    const headDim = body.kind === 'attention' ? body.headDim : body.latent + body.rotated;
    return sizes.attendScratchBytes(batchTokens, body.heads, headDim, pageCount * PAGE_TOKENS);
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
    prepared: take(maximum(preparedBytes)),
    attendScratch: take(maximum(scratchBytes)),
    maxAndSum: take(8),
    candidateIds: take(MAX_CANDIDATES * 4),
    candidateValues: take(MAX_CANDIDATES * 4),
    staging: take(maximum(layout.reads.map((read) => (read.widen === null ? 0 : read.rows * read.bytes)))),
    step: take(stepWords(batchTokens, pageCount) * 4),
    adjusted: take(shape.vocabulary * 4),
    mask: take(maskWords(graph.vocabulary) * 4),
    logits: floats(shape.vocabulary),
  };
}

const maximum = (values: readonly number[]): number => values.reduce((most, value) => Math.max(most, value), 0);

function widthsOf({ mixer: { body }, feedForward, parallel }: LayerPlacement, batchTokens: number, hidden: number): Widths {
  const network = feedForward.body;
  const experts = network.kind === 'experts';
  // One token goes to several experts at once.
  const rows = experts ? Math.max(1, network.router.take / batchTokens) : 1;
  const width = Math.max(network.width * rows, experts ? (network.shared?.width ?? 0) : 0);
  return {
    ...NOTHING,
    ...mixerWidths(body),
    gate: width,
    up: width,
    gathered: experts || parallel ? hidden : 0,
    routerLogits: experts ? (network.routerMatrix?.rows ?? 0) : 0,
  };
}

function mixerWidths(body: LayerPlacement['mixer']['body']): Partial<Widths> {
  if (body.kind === 'attention') {
    const [queries, keys] = [body.heads * body.headDim, body.kvHeads * body.headDim];
    return { query: queries, key: keys, value: keys, attention: queries };
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

function matricesOf({ mixer: { body }, feedForward }: LayerPlacement): (MatrixPlacement | null)[] {
  const network = feedForward.body;
  const networks =
    network.kind === 'experts'
      ? // All experts have one shape.
        [network.routerMatrix, network.gate[0] ?? null, network.up[0] ?? null, network.down[0] ?? null, network.shared?.gate ?? null].concat([
          network.shared?.up ?? null,
          network.shared?.down ?? null,
        ])
      : [network.gate, network.up, network.down];
  if (body.kind === 'attention') return [...networks, body.query, body.key, body.value, body.output];
  if (body.kind === 'short-convolution') return [...networks, body.gateIn, body.gateOut, body.value, body.output];
  const heads = [body.queryToLatent[0] ?? null, body.latentToValue[0] ?? null];
  return [...networks, ...heads, body.query, body.queryDown, body.keyValue, body.output];
}
