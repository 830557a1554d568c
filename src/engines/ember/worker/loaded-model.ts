import { randomInt } from 'node:crypto';
import type { GenerateRequest } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { createPageCache, type Ember, type EmberMemory, loadEmber, type RankThreads } from '../../../ember/index.ts';
import { loadTokenizer } from '../../../formats/index.ts';
import { answerRoom } from '../../model-text/answer-room.ts';
import { type Answers, createAnswers } from '../../model-text/answers.ts';
import { createPromptEncoder, type PromptInput } from '../../model-text/encode-prompt.ts';
import { createModelText, type ModelText, promptInput } from '../../model-text/prepare-request.ts';
import type { FromWorker, LoadReportMessage, SessionStatsMessage } from '../../protocol/messages.ts';
import { createSampler } from '../../text/index.ts';
import { type Adapters, type AdapterUse, createAdapters } from './adapters.ts';
import { DEFAULTS } from './defaults.ts';
import { firstToken } from './first-token.ts';
import { openDrafter } from './open-drafter.ts';
import type { EmberEngineOptions } from './options.ts';
import { createPrefillRate } from './plan-step.ts';
import { readEmbeddingFiles } from './pooling.ts';
import { createScores } from './scores.ts';
import type { ActiveRequest, Sequence } from './sequence.ts';
import { readShapeDefaults } from './shape-defaults.ts';
import { createStepLoop } from './step-loop.ts';
import { createVectors, type Vectors } from './vectors.ts';
import { weightsNote } from './weights-note.ts';

export const BUILD = 'ember 0.1.0';

export interface LoadModelOptions {
  readonly directory: string;
  readonly ranks: number;
  /** As many compute threads, which wait for their weights. */
  readonly threads: RankThreads;
  /** Where adapters may be read from. */
  readonly adaptersDirectory: string | null;
  readonly options: EmberEngineOptions;
  readonly send: (message: FromWorker) => void;
  readonly onFailure: (error: unknown) => void;
}

export interface LoadedModel {
  readonly report: LoadReportMessage;
  readonly text: ModelText;
  readonly vocabularySize: number;
  readonly vectors: Vectors;
  readonly adapters: Adapters;
  /** Ids of a text; long ones are made beside the step loop. */
  encode(input: PromptInput): readonly number[] | Promise<readonly number[]>;
  /** A long prompt enters the queue when it is tokenised. */
  generate(sequence: number, request: GenerateRequest, credit?: number): Promise<void> | undefined;
  cancel(sequence: number): void;
  /** Its reader took so many tokens. */
  credit(sequence: number, tokens: number): void;
  /** Closes what is open of its reasoning; false when nothing is. */
  endReasoning(sequence: number): boolean;
  /** Forgets all prefixes. */
  clear(): void;
  /** What first requests would have to wait for, in steps of about a millisecond. */
  prepare(): Generator<undefined, void>;
  /** From the next step on, at most this many ranks compute. */
  setThreads(threads: number): Promise<void>;
  stats(): SessionStatsMessage;
}

/** Tokenizer, weights, and a first token: only a model that gave one is ready (docs/spec/engines.md §1.5). */
export async function loadModel({ directory, ranks, threads, adaptersDirectory, options, send, onFailure }: LoadModelOptions): Promise<LoadedModel> {
  const startedAt = performance.now();
  const note = await weightsNote(directory);
  const shape = await readShapeDefaults(directory);
  const batchTokens = options.batchTokens ?? shape.batchTokens;
  const kvType = options.kvType ?? shape.kvType;
  const wanted = options.contextTokens ?? DEFAULTS.contextTokens;
  const parallelSequences = options.parallelSequences ?? DEFAULTS.parallelSequences;
  const { ember, text } = await loadBoth(directory, {
    ranks,
    threads,
    activations: options.activations ?? DEFAULTS.activations,
    kvType,
    contextTokens: wanted,
    batchTokens,
    sequences: parallelSequences,
    onProgress: (doneBytes, totalBytes) => send({ kind: 'load-progress', doneBytes, totalBytes }),
  });
  const { tokenizer } = text;
  const { problem } = text.renderer;
  const contextTokens = Math.min(wanted, ember.modelContextTokens);
  const rate = createPrefillRate(batchTokens);
  rate.guess(await firstToken(ember, tokenizer.bosId ?? 0));
  const { drafter, draft, warning } = await openDrafter(options, {
    ranks,
    contextTokens,
    sequences: parallelSequences,
    tokenizer,
    vocabularySize: ember.vocabularySize,
    recurrent: ember.recurrent,
  });
  const answers = createAnswers(text, ember.vocabularySize);
  const loop = createStepLoop({
    scores: createScores(tokenizer),
    ember,
    cache: createPageCache(ember.pageGroups),
    stopTokens: text.stopTokens,
    parallelSequences,
    batchTokens,
    rate,
    drafter,
    send,
    onFailure,
  });
  const encoder = createPromptEncoder(directory, tokenizer);
  /** Requests whose prompts are being tokenised: a cancel must find them. */
  const tokenising = new Set<number>();
  const adapters = createAdapters({ ember, directory: adaptersDirectory, most: options.residentAdapters ?? DEFAULTS.residentAdapters });
  const memory = sumMemory([ember, ...(draft === null ? [] : [draft])]);
  // What is resident beside the weights, all of which were read; of cache and buffers hardly a page is touched yet.
  const measured = { ...memory, processBytes: Math.max(0, process.memoryUsage.rss() - memory.weightsBytes) };
  return {
    text,
    vocabularySize: ember.vocabularySize,
    adapters,
    vectors: createVectors({
      text,
      files: await readEmbeddingFiles(directory, ember.encoder),
      hiddenSize: ember.hiddenSize,
      vocabularySize: ember.vocabularySize,
      contextTokens: ember.encoder ? Math.min(contextTokens, batchTokens) : contextTokens,
      encoder: ember.encoder,
      classify: ember.classify,
      add: (readings) => loop.add(readings),
    }),
    report: {
      version: BUILD,
      device: 'cpu',
      contextTokens,
      modelContextTokens: ember.modelContextTokens,
      parallelSequences,
      ranks: ember.ranks,
      kvType,
      measured,
      loadMs: performance.now() - startedAt,
      tools: text.dialect.family !== null,
      reasoning: text.dialect.reasoning.length > 0,
      ...(note === undefined ? {} : { weightsNote: note }),
      warnings: [...(problem === null ? [] : [`${problem}. Plain conversation blocks are used instead.`]), ...(warning === undefined ? [] : [warning])],
    },
    encode: encoder.encode,
    generate(id, request, credit) {
      if (ember.encoder) throw new HearthError('capability_mismatch', 'This model gives vectors, not text.');
      const add = (prompt: readonly number[]): void =>
        loop.add(toSequences({ id, credit }, request, prompt, ember.vocabularySize, contextTokens, adapters, answers));
      const prompt = encoder.encode(promptInput(text, request, ember.vocabularySize));
      if (!(prompt instanceof Promise)) {
        add(prompt);
        return undefined;
      }
      tokenising.add(id);
      return prompt.then(
        (ids) => {
          if (tokenising.delete(id)) add(ids);
        },
        (error: unknown) => {
          if (tokenising.delete(id)) throw error;
        },
      );
    },
    cancel(id) {
      tokenising.delete(id);
      loop.cancel(id);
    },
    credit: (id, tokens) => loop.credit(id, tokens),
    endReasoning: (id) => loop.endReasoning(id),
    clear: () => loop.clear(),
    *prepare() {
      // The tokenizer makes its tables with the first text.
      encoder.encode({ segments: [{ text: 'a', special: false }], addBos: false });
      yield;
      if (!ember.encoder) yield* answers.prepare();
    },
    setThreads: async (threads) => {
      await ember.setThreads(threads);
      await draft?.setThreads(threads);
    },
    stats: () => ({
      memory: measured,
      running: loop.running,
      waiting: loop.waiting + tokenising.size,
      ...loop.counters,
      adapterBytes: adapters.bytes,
      cache: loop.cells,
      batchSizes: Array.from(loop.counters.batchSizes, (n) => n ?? 0),
    }),
  };
}

type WeightOptions = Omit<Parameters<typeof loadEmber>[0], 'directory' | 'signal' | 'onProgress'> & {
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
};

/** Weights, which the ranks' threads read, and beside them on this thread the tokenizer. The first failure is thrown. */
async function loadBoth(directory: string, options: WeightOptions): Promise<{ readonly ember: Ember; readonly text: ModelText }> {
  const abandon = new AbortController();
  const reading = Promise.withResolvers<void>();
  const onProgress = (doneBytes: number, totalBytes: number): void => {
    reading.resolve();
    options.onProgress(doneBytes, totalBytes);
  };
  const weights = loadEmber({ ...options, directory, onProgress, signal: abandon.signal });
  // The ranks start first: they have more to do.
  await Promise.race([reading.promise, weights]);
  try {
    const text = createModelText(await loadTokenizer(directory));
    return { ember: await weights, text };
  } catch (error) {
    abandon.abort();
    throw error;
  }
}

/** Keys and values of a prompt are others with an adapter. */
const prefixSalt = (salt: string, adapter: AdapterUse | null): string => (adapter === null ? `base ${salt}` : `adapter ${adapter.key} ${salt}`);

const sumMemory = (embers: readonly Ember[]): EmberMemory => {
  const sum = (key: keyof EmberMemory): number => embers.reduce((total, { memory }) => total + memory[key], 0);
  return { weightsBytes: sum('weightsBytes'), kvBytes: sum('kvBytes'), computeBytes: sum('computeBytes') };
};

/** Checks a request against the model and makes one sequence per choice. Throws context_length_exceeded, invalid_value. */
function toSequences(
  { id, credit }: { readonly id: number; readonly credit: number | undefined },
  request: GenerateRequest,
  prompt: readonly number[],
  vocabularySize: number,
  contextTokens: number,
  adapters: Adapters,
  answers: Answers,
): Sequence[] {
  const maxTokens = answerRoom(request, prompt, vocabularySize, contextTokens);
  const open = answers.plan(request, prompt, maxTokens);
  // Last of all, so that no refusal leaves it in use.
  const adapter = request.adapter === undefined ? null : adapters.use(request.adapter);
  const active: ActiveRequest = {
    id,
    promptTokens: prompt.length,
    salt: request.cacheSalt === undefined ? null : prefixSalt(request.cacheSalt, adapter),
    adapter,
    cachedTokens: 0,
    ...(credit === undefined ? {} : { credit }),
    openChoices: request.choices,
    completionTokens: 0,
    reasoningTokens: 0,
    started: false,
    cancelled: false,
  };
  const seed = request.sampling.seed ?? randomInt(2 ** 47);
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = request.sampling;
  const free = repetitionPenalty === 1 && presencePenalty === 0 && frequencyPenalty === 0;
  let leader: Sequence | null = null;
  return Array.from({ length: request.choices }, (_, choice) => {
    const { answer, guide, ...wants } = open();
    const sequence: Sequence = {
      kind: 'answer',
      request: active,
      choice,
      tokens: [...prompt],
      promptTokens: prompt.length,
      maxTokens,
      sampler: createSampler(request.sampling, seed, choice, prompt),
      answer,
      guide,
      ...wants,
      leader,
      // A token that follows a mask or is told with its scores is drawn from a row of its own.
      guessable: free && wants.rawCandidates === undefined,
      computed: 0,
      pages: [],
      parting: 0,
      ended: false,
    };
    leader ??= sequence;
    return sequence;
  });
}
