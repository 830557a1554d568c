import { HearthError } from '../../core/index.ts';
import { openCheckpoint } from '../../formats/index.ts';
import { createResidentAdapters } from '../adapters/resident-adapters.ts';
import type { Kernels } from '../kernel-interface.ts';
import { createRunningStates } from '../kv/running-states.ts';
import { kernelModule, loadKernels } from '../load-kernels.ts';
import { hasRunningState } from '../models/model-graph.ts';
import { createExchangeBuffers, type ExchangeBuffers } from '../ranks/exchange.ts';
import { mergeResults } from '../ranks/merge-results.ts';
import { startRanks } from '../ranks/rank-group.ts';
import { HEADER, MAX_MASKS, maskWords, RESULT, SCORE, stepWords } from '../ranks/step-words.ts';
import { writeStep } from '../ranks/write-step.ts';
import { createReferenceKernels } from '../reference/reference-kernels.ts';
import type { Ember, EmberOptions, StepSequence } from '../types.ts';
import { type LoadPlan, planLoad } from './plan-load.ts';
import type { RankPlan } from './rank-plan.ts';
import { readClassifier } from './read-classifier.ts';
import { gatherTensor } from './tensor-bytes.ts';

/** The kernels' own constants lie below. */
const MEMORY_BASE = 65_536;
const LARGEST_BATCH = 512;

/**
 * Loads a checkpoint into one memory per compute thread and makes it ready to step. Throws `model_load_failed` with the reason, `not_implemented`
 * for a quantisation that is not there yet, `mlx_*` and `st_*` for a broken checkpoint, `cancelled`. `implementation`: the reference is for checks.
 */
export async function loadEmber(options: EmberOptions, implementation: 'wasm' | 'reference' = 'wasm'): Promise<Ember> {
  checkOptions(options);
  const module = implementation === 'wasm' ? kernelModule() : null;
  const checkpoint = await openCheckpoint(options.directory);
  try {
    const plan = planLoad(checkpoint, options, { memoryBase: MEMORY_BASE, sizes: kernelSizes(module) });
    const classify = plan.graph.classifier ? await readClassifier(checkpoint, plan.graph.classifier) : null;
    return await load(options, plan, module, classify);
  } finally {
    await checkpoint.close();
  }
}

async function load(options: EmberOptions, plan: LoadPlan, module: WebAssembly.Module | null, classify: Ember['classify']): Promise<Ember> {
  const { graph, pageGroups } = plan;
  const { batchTokens } = options;
  const ranks = plan.ranks.length;
  const exchange = createExchangeBuffers({
    ranks,
    sumFloats: batchTokens * graph.hidden,
    stepWords: stepWords(batchTokens, pageGroups),
    resultWords: batchTokens * RESULT.words,
    scoreWords: batchTokens * SCORE.words,
    maskWords: MAX_MASKS * maskWords(graph.vocabulary),
  });
  let doneBytes = 0;
  const group = await startRanks({
    starts: plan.ranks.map((rankPlan) => ({
      plan: rankPlan,
      model: plan.model,
      ranks,
      batchTokens,
      exchange,
      kernels: module,
    })),
    onProgress: (bytes) => {
      doneBytes += bytes;
      options.onProgress?.(doneBytes, plan.readBytes);
    },
    signal: options.signal,
    threads: options.threads,
  });

  const words = new Int32Array(exchange.step);
  const floats = new Float32Array(exchange.step);
  const masks = new Uint32Array(exchange.masks);
  let rows = 0;
  let last: Promise<unknown> = Promise.resolve();
  /** One command at a time. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work, work);
    last = turn;
    return turn;
  };
  const states = plan.states && createRunningStates(plan.states);
  const adapters = createResidentAdapters({ plan, batchTokens, group, inTurn });
  const limits = { batchTokens, pageGroups, vocabulary: graph.vocabulary, pairs: (graph.embedding.types?.outputs ?? 0) > 1, hasAdapter: adapters.has, states };
  const total = (of: (rank: RankPlan) => number) => plan.ranks.reduce((sum, rank) => sum + of(rank), 0);

  return {
    vocabularySize: graph.vocabulary,
    hiddenSize: graph.hidden,
    encoder: graph.head === null,
    classify,
    recurrent: graph.layers.some((layer) => layer.mixer?.body.kind === 'short-convolution' || hasRunningState(layer.mixer?.body)),
    states,
    modelContextTokens: graph.contextTokens,
    ranks,
    pageGroups,
    memory: {
      weightsBytes: total((p) => p.weightsBytes),
      kvBytes: total((p) => p.kvBytes),
      computeBytes: total((p) => p.computeBytes) + sharedBytes(exchange),
    },
    setThreads: (threads) => inTurn(async () => group.limit(threads >= ranks ? 0 : Math.max(1, Math.trunc(threads)))),
    step: (sequences: readonly StepSequence[]) =>
      inTurn(async () => {
        rows = writeStep(sequences, words, floats, masks, limits);
        await group.step();
        return mergeResults(sequences, exchange, ranks, batchTokens);
      }),
    logits: (row) =>
      inTurn(async () => {
        if (!(Number.isInteger(row) && row >= 0 && row < words[HEADER.logitRows]!))
          throw new HearthError('invalid_value', `The last step gave ${words[HEADER.logitRows]} rows of logits, not row ${row}.`);
        const logits = new Float32Array(graph.vocabulary);
        for (const { rank, vocabulary, buffers } of plan.ranks) {
          const { first, count } = vocabulary;
          if (count === 0) continue;
          const part = await group.peek(rank, buffers.logits + row * count * 4, count * 4);
          logits.set(new Float32Array(part.buffer, part.byteOffset, count), first);
        }
        return logits;
      }),
    hidden: (first, count) =>
      inTurn(async () => {
        const logitRows = words[HEADER.logitRows]!;
        if (!(Number.isInteger(first) && first >= 0 && Number.isInteger(count) && count >= 0 && logitRows + first + count <= rows))
          throw new HearthError('invalid_value', `The last step gave ${rows - logitRows} hidden rows, not rows ${first} to ${first + count - 1}.`);
        // The rows are equal on all ranks.
        const { rank, buffers } = plan.ranks[0]!;
        const bytes = await group.peek(rank, buffers.normed + (logitRows + first) * graph.hidden * 4, count * graph.hidden * 4);
        return new Float32Array(bytes.buffer, bytes.byteOffset, count * graph.hidden);
      }),
    loadAdapter: adapters.load,
    dropAdapter: adapters.drop,
    get adapterBytes() {
      return adapters.bytes;
    },
    tensorBytes: (name) => inTurn(() => gatherTensor(plan.ranks, name, group.peek)),
    [Symbol.asyncDispose]: () => group[Symbol.asyncDispose](),
  };
}

function checkOptions({ ranks, contextTokens, batchTokens }: EmberOptions): void {
  const whole = (value: number, most: number) => Number.isInteger(value) && value >= 1 && value <= most;
  if (!whole(ranks, 256)) throw new HearthError('engine_options_invalid', `ranks = ${ranks}, but 1 to 256 can be used.`);
  if (!whole(batchTokens, LARGEST_BATCH))
    throw new HearthError('engine_options_invalid', `batchTokens = ${batchTokens}, but 1 to ${LARGEST_BATCH} can be used.`);
  if (!whole(contextTokens, 2 ** 24)) throw new HearthError('engine_options_invalid', `contextTokens = ${contextTokens}, but 1 to ${2 ** 24} can be used.`);
}

/** What ranks share; of the masks only pages in use are ever touched. */
const sharedBytes = ({ step, sums, results, scores }: ExchangeBuffers): number => step.byteLength + sums.byteLength + results.byteLength + scores.byteLength;

/** Buffer sizes are the kernels' own knowledge: asked of an instance over an empty memory. */
function kernelSizes(module: WebAssembly.Module | null): Pick<Kernels, 'preparedBytes' | 'attendScratchBytes' | 'pageBytes'> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65_536, shared: true });
  return module ? loadKernels(memory, module) : createReferenceKernels(memory.buffer);
}
