import type { z } from 'zod';
import { HearthError } from '../../../core/index.ts';
import type { ModelText } from '../../model-text/prepare-request.ts';
import type { embedReply, rerankReply, scoreReply } from '../../protocol/messages.ts';
import type { ToWorker } from '../../protocol/to-worker.ts';
import type { EmbeddingFiles } from './pooling.ts';
import { createEmbedding, createRanking, createScoring } from './readings.ts';
import type { ActiveRequest, Reading } from './sequence.ts';

type Asked<K extends ToWorker['kind']> = Extract<ToWorker, { kind: K }>;

export interface VectorOptions {
  readonly text: ModelText;
  readonly files: EmbeddingFiles;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly contextTokens: number;
  /** Every token sees all others: an input is evaluated whole. */
  readonly encoder: boolean;
  /** Of a model that was trained to judge pairs of texts: the score of a first token's row. */
  readonly classify: ((firstRow: Float32Array) => number) | null;
  add(readings: readonly Reading[]): void;
}

/** What is read from given tokens: vectors and log probabilities. Promises that a cancel leaves open are forgotten with their request. */
export interface Vectors {
  embed(message: Asked<'embed'>): Promise<z.infer<typeof embedReply>>;
  rerank(message: Asked<'rerank'>): Promise<z.infer<typeof rerankReply>>;
  score(message: Asked<'score'>): Promise<z.infer<typeof scoreReply>>;
}

export function createVectors({ text, files, hiddenSize, vocabularySize, contextTokens, encoder, classify, add }: VectorOptions): Vectors {
  const { tokenizer } = text;
  const { before, after } = tokenizer.aroundText;
  const request = (id: number, promptTokens: number): ActiveRequest => ({
    id,
    promptTokens,
    salt: null,
    adapter: null,
    cachedTokens: 0,
    openChoices: 1,
    completionTokens: 0,
    reasoningTokens: 0,
    started: true,
    cancelled: false,
  });
  const check = (tokens: readonly number[], room: number): readonly number[] => {
    const wrong = tokens.find((id) => id >= vocabularySize);
    if (wrong !== undefined) throw new HearthError('invalid_value', `Token id ${wrong} is outside the vocabulary of ${vocabularySize}.`);
    if (tokens.length === 0) throw new HearthError('invalid_value', 'An input is empty.');
    if (tokens.length > room)
      throw new HearthError('context_length_exceeded', `An input has ${tokens.length} tokens, but the model takes ${room}.`, {
        details: { promptTokens: tokens.length, contextTokens: room },
      });
    return tokens;
  };
  const tokensOf = (input: string | readonly number[], prompt: string): readonly number[] =>
    typeof input === 'string' ? [...before, ...tokenizer.encode(prompt + input, { special: false }), ...after] : input;

  /** What fits of an input, with the control tokens behind it. */
  const cut = (tokens: readonly number[], input: string | readonly number[]): readonly number[] => {
    if (tokens.length <= contextTokens) return tokens;
    const end = typeof input === 'string' ? after : [];
    return [...tokens.slice(0, contextTokens - end.length), ...end];
  };

  async function embedAll(
    id: number,
    inputs: readonly (string | readonly number[])[],
    pooling = files.pooling,
    prompts: readonly string[] = [],
    truncate = false,
  ) {
    const whole = inputs.map((input, i) => tokensOf(input, prompts[i] ?? ''));
    const all = whole.map((tokens, i) => check(truncate ? cut(tokens, inputs[i]!) : tokens, contextTokens));
    const waits = all.map(() => Promise.withResolvers<Float32Array>());
    const common = request(
      id,
      all.reduce((sum, tokens) => sum + tokens.length, 0),
    );
    add(all.map((tokens, i) => createEmbedding({ request: common, tokens, pooling, width: hiddenSize, whole: encoder, done: waits[i]!.resolve })));
    const truncated = whole.flatMap((tokens, i) => (tokens.length > all[i]!.length ? [i] : []));
    return { vectors: await Promise.all(waits.map(({ promise }) => promise)), promptTokens: all.map((tokens) => tokens.length), truncated };
  }

  async function judgeAll(id: number, query: string, documents: readonly string[], score: (firstRow: Float32Array) => number) {
    const first = tokensOf(query, '');
    const pairs = documents.map((text) => check([...first, ...tokenizer.encode(text, { special: false }), ...after], contextTokens));
    const promptTokens = pairs.reduce((sum, tokens) => sum + tokens.length, 0);
    const common = request(id, promptTokens);
    const waits = pairs.map(() => Promise.withResolvers<number>());
    const one = { request: common, secondText: first.length, width: hiddenSize, classify: score };
    add(pairs.map((tokens, i) => createRanking({ ...one, tokens, done: waits[i]!.resolve })));
    return { scores: await Promise.all(waits.map(({ promise }) => promise)), promptTokens };
  }

  const promptOf = (name: string | undefined): string => (name === undefined ? '' : (files.prompts[name] ?? ''));
  return {
    async embed({ id, inputs, pooling, prompt, truncate }) {
      const { vectors, promptTokens, truncated } = await embedAll(
        id,
        inputs,
        pooling,
        inputs.map(() => promptOf(prompt)),
        truncate,
      );
      return { vectors: vectors.map(base64), promptTokens, truncated };
    },
    async rerank({ id, query, documents }) {
      if (classify !== null) return judgeAll(id, query, documents, classify);
      const prompts = [promptOf('query'), ...documents.map(() => promptOf('document'))];
      const { vectors, promptTokens } = await embedAll(id, [query, ...documents], undefined, prompts);
      const [asked, ...others] = vectors;
      const scores = others.map((vector) => vector.reduce((sum, value, i) => sum + value * asked![i]!, 0));
      return { scores, promptTokens: promptTokens.reduce((sum, count) => sum + count, 0) };
    },
    async score({ id, tokens }) {
      const { promise, resolve } = Promise.withResolvers<Float32Array>();
      add([createScoring(request(id, tokens.length), check(tokens, contextTokens), resolve)]);
      return { logProbabilities: base64(await promise) };
    },
  };
}

const base64 = (values: Float32Array): string => Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
