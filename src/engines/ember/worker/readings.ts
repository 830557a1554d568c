import type { ActiveRequest, Reading } from './sequence.ts';

/** How the hidden rows of an input become one vector. */
export type Pooling = 'cls' | 'mean' | 'last';

export interface EmbeddingOptions {
  readonly request: ActiveRequest;
  readonly tokens: readonly number[];
  readonly pooling: Pooling;
  /** Values of a row. */
  readonly width: number;
  /** Of a bidirectional model. */
  readonly whole: boolean;
  /** The pooled row, divided by its length. */
  readonly done: (vector: Float32Array) => void;
}

const base = (request: ActiveRequest, tokens: readonly number[]) => ({
  kind: 'reading' as const,
  request,
  tokens: [...tokens],
  promptTokens: tokens.length,
  maxTokens: 0,
  leader: null,
  computed: 0,
  pages: [],
  parting: 0,
  ended: false,
});

export function createEmbedding({ request, tokens, pooling, width, whole, done }: EmbeddingOptions): Reading {
  const pooled = new Float64Array(width);
  return {
    ...base(request, tokens),
    wants: 'hidden',
    whole,
    rows(position, count) {
      if (pooling === 'last') return position + count === tokens.length ? 1 : 0;
      return pooling === 'mean' || position === 0 ? count : 0;
    },
    take(rows, position) {
      if (position === 0) pooled.fill(0);
      const used = pooling === 'cls' ? rows.subarray(0, position === 0 ? width : 0) : rows;
      for (let i = 0; i < used.length; i++) pooled[i % width]! += used[i]!;
    },
    finish: () => done(Float32Array.from(normalise(pooled))),
  };
}

/** Divided by its length; a mean needs no division by the number of rows then. */
function normalise(vector: Float64Array): Float64Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return length === 0 ? vector : vector.map((value) => value / length);
}

export interface RankingOptions {
  readonly request: ActiveRequest;
  /** Query and document, with their marks. */
  readonly tokens: readonly number[];
  /** Where the document begins. */
  readonly secondText: number;
  readonly width: number;
  /** Score of the first token's row. */
  readonly classify: (row: Float32Array) => number;
  /** How well the document answers the query, 0 to 1. */
  readonly done: (score: number) => void;
}

/** A query and a document read as one text by an encoder that was trained to judge them. */
export function createRanking({ request, tokens, secondText, width, classify, done }: RankingOptions): Reading {
  let score = 0;
  return {
    ...base(request, tokens),
    wants: 'hidden',
    whole: true,
    secondText,
    // Rows are the last ones of a step, and the first is wanted.
    rows: (_, count) => count,
    take(rows) {
      score = 1 / (1 + Math.exp(-classify(rows.subarray(0, width))));
    },
    finish: () => done(score),
  };
}

/** log p(token i + 1 | tokens 0 … i), for all but the last token. */
export function createScoring(request: ActiveRequest, tokens: readonly number[], done: (logProbabilities: Float32Array) => void): Reading {
  const all = new Float32Array(tokens.length);
  return {
    ...base(request, tokens),
    wants: 'scores',
    whole: false,
    rows: (_, count) => count,
    take: (values, position) => all.set(values, position),
    finish: () => done(all.subarray(0, tokens.length - 1)),
  };
}
