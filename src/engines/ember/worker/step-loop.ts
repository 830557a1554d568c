import { setImmediate as turn } from 'node:timers/promises';
import { type Ember, PAGE_TOKENS, type PageCache, type RecurrentStates } from '../../../ember/index.ts';
import type { FromWorker } from '../../protocol/messages.ts';
import { createAnswerSteps } from './answer-steps.ts';
import { createDraftLengths, type Drafter } from './drafts.ts';
import { createPrefillRate, type PrefillRate, planStep } from './plan-step.ts';
import { createPrefixTree } from './prefix-tree.ts';
import type { Scores } from './scores.ts';
import {
  type ActiveRequest,
  awaitsLeader,
  type Evaluated,
  freePages,
  generatedTokens,
  growPages,
  heldPages,
  isStalled,
  mayEnter,
  type Reading,
  type Sequence,
  takePrefix,
} from './sequence.ts';
import { createStateSlots } from './state-slots.ts';
import { adapterOrder, decodes, remaining, type Share, toStep, wantsHidden } from './step-share.ts';
import { leaveWindows } from './windows.ts';

export interface StepLoopOptions {
  readonly ember: Pick<Ember, 'step' | 'logits' | 'hidden'> & { readonly states?: RecurrentStates | null };
  readonly cache: PageCache;
  readonly stopTokens: ReadonlySet<number>;
  readonly parallelSequences: number;
  readonly batchTokens: number;
  readonly rate?: PrefillRate;
  /** Guesses tokens that are then checked in one step; absent: every step gives one token. */
  readonly drafter?: Drafter | null;
  /** Scores of drawn tokens, for sequences that want them. */
  readonly scores?: Scores;
  readonly send: (message: FromWorker) => void;
  /** A step failed: the cache is in an unknown state, nothing more can run. */
  readonly onFailure: (error: unknown) => void;
}

export interface LoopCounters {
  promptTokensComputed: number;
  promptTokensCached: number;
  generatedTokens: number;
  steps: number;
  /** Steps with n decoding sequences: index n. */
  readonly batchSizes: number[];
  lastStepMs: number;
  lastProgressAtMs: number;
  draftedTokens: number;
  acceptedTokens: number;
}

export interface StepLoop {
  /** All choices of one request, or its readings, in queue order. */
  add(sequences: readonly (Sequence | Reading)[]): void;
  cancel(requestId: number): void;
  /** The reader of a request took tokens: as many more may be made. */
  credit(requestId: number, tokens: number): void;
  /** Closes the reasoning parts that are open; false when there is none. */
  endReasoning(requestId: number): boolean;
  /** Forgets all prefixes. */
  clear(): void;
  readonly running: number;
  readonly waiting: number;
  readonly counters: LoopCounters;
  /** Cells of the first group; absent where there is none. */
  readonly cells: { readonly totalCells: number; readonly heldCells: number; readonly prefixCells: number } | undefined;
}

/**
 * The step loop of docs/spec/engines.md §1.6. Each turn: cancelled sequences leave, waiting ones enter in order, every running sequence brings
 * its share to one step, and each is sampled by its own sampler. Between steps the event loop gets its turn, so that cancels and new requests
 * are seen after one step at most.
 */
export function createStepLoop(options: StepLoopOptions): StepLoop {
  const { ember, cache, send } = options;
  const prefixes = createPrefixTree(cache);
  const states = createStateSlots(ember.states ?? null);
  const drafter = options.drafter ?? null;
  const lengths = createDraftLengths();
  const rate = options.rate ?? createPrefillRate(options.batchTokens);
  /** In order of admission; the last is paused first. */
  let running: (Sequence | Reading)[] = [];
  let waiting: (Sequence | Reading)[] = [];
  let active = false;
  const counters: LoopCounters = {
    promptTokensComputed: 0,
    promptTokensCached: 0,
    generatedTokens: 0,
    steps: 0,
    batchSizes: [],
    lastStepMs: 0,
    lastProgressAtMs: Date.now(),
    draftedTokens: 0,
    acceptedTokens: 0,
  };

  const answers = createAnswerSteps({ ...options, counters, remember, leave });

  async function run(): Promise<void> {
    active = true;
    try {
      for (;;) {
        dropCancelled();
        admit();
        // What its reader or a cancel wakes is all that is left.
        if (running.every(isStalled)) break;
        await step();
        await turn();
      }
    } catch (error) {
      options.onFailure(error);
    } finally {
      active = false;
    }
  }

  function dropCancelled(): void {
    const gone = new Set<ActiveRequest>();
    for (const sequence of running)
      if (sequence.request.cancelled) {
        leave(sequence);
        gone.add(sequence.request);
      }
    const wanted = (sequence: Evaluated): boolean => !sequence.request.cancelled;
    running = running.filter(wanted);
    waiting = waiting.filter(wanted);
    for (const request of gone) request.adapter?.release();
  }

  function admit(): void {
    while (running.length < options.parallelSequences) {
      const place = waiting.findIndex((sequence) => !awaitsLeader(sequence) && !isStalled(sequence));
      const next = waiting[place];
      if (next === undefined) return;
      // Held before it is counted: what it will use can then not be freed for it.
      takePrefix(next, cache, prefixes);
      states.take(next, cache);
      if (!mayEnter(next, running, cache, prefixes)) {
        leave(next);
        if (pauseBehind(next) >= 0) continue;
        return;
      }
      waiting.splice(place, 1);
      running.push(next);
      if (next.request.started || next.kind === 'reading') continue;
      next.request.started = true;
      next.request.cachedTokens = next.computed;
      counters.promptTokensCached += next.computed;
      send({ kind: 'start', sequence: next.request.id, promptTokens: next.promptTokens, cachedTokens: next.computed });
    }
  }

  /** Gives every share its cells; where the pool is out, one whose reader is behind is paused, else the one admitted last, and is evaluated again when there is room. */
  function reserve(shares: number[]): void {
    for (let i = 0; i < running.length; i++) {
      const sequence = running[i]!;
      while (!growPages(sequence, sequence.computed + shares[i]!, cache, prefixes)) {
        let place = pauseBehind(sequence);
        if (place < 0) place = pause(running.length - 1);
        shares.splice(place, 1);
        if (place === i) return;
        if (place < i) i--;
      }
    }
  }

  /** Takes the cells of the last one whose reader is behind; its place, or -1 where there is none. */
  function pauseBehind(unless: Evaluated): number {
    const place = running.findLastIndex((other) => other !== unless && isStalled(other) && heldPages(other) > 0);
    return place < 0 ? place : pause(place);
  }

  function pause(place: number): number {
    const [paused] = running.splice(place, 1);
    leave(paused!);
    waiting.unshift(paused!);
    return place;
  }

  function leave(sequence: Sequence | Reading): void {
    freePages(sequence, cache);
    states.release(sequence);
    if (sequence.kind === 'answer') drafter?.forget(sequence);
  }

  /** Prefixes are left behind when the prompt is evaluated, for requests that run beside, and at the end, for the next turn. */
  function remember(sequence: Sequence): void {
    const { salt } = sequence.request;
    if (salt !== null) prefixes.remember(salt, sequence.tokens, sequence.pages, sequence.computed);
  }

  /** Guesses for the sequences that decode: no more than the answer, the batch and the free cells have room for. */
  async function guess(shares: readonly number[], drafter: Drafter): Promise<readonly (readonly number[])[]> {
    const decoding = running.filter(decodes).length;
    let batchRoom = options.batchTokens - shares.reduce((sum, share) => sum + share, 0);
    const open = running.map((sequence, i) => ({ sequence, i })).filter((it): it is { sequence: Sequence; i: number } => it.sequence.kind === 'answer');
    const wishes = open.map(({ sequence }) => {
      const cells = (heldPages(sequence) + cache.groups[0]!.pool.free) * PAGE_TOKENS - sequence.tokens.length;
      const left = sequence.maxTokens - generatedTokens(sequence) - 1;
      const able = decodes(sequence) && sequence.guessable && sequence.guide?.binding !== true && !sequence.request.cancelled && !isStalled(sequence);
      const room = able ? Math.max(0, Math.min(lengths.length(sequence, decoding), left, cells, batchRoom)) : 0;
      batchRoom -= room;
      return { sequence, room };
    });
    const guesses: (readonly number[])[] = running.map(() => []);
    for (const [n, guess] of (await drafter.propose(wishes)).entries()) {
      const { sequence, i } = open[n]!;
      if (growPages(sequence, sequence.tokens.length + guess.length, cache, prefixes)) guesses[i] = guess;
    }
    return guesses;
  }

  async function step(): Promise<void> {
    const shares = planStep(
      running.map((sequence) => ({ remaining: isStalled(sequence) ? 0 : remaining(sequence), whole: sequence.kind === 'reading' && sequence.whole })),
      { batchTokens: options.batchTokens, prefillChunk: rate.chunk(running.some(decodes)) },
    );
    reserve(shares);
    const guesses = drafter === null ? [] : await guess(shares, drafter);
    const batch: readonly Share[] = running
      .map((sequence, i) => ({ sequence, count: shares[i]!, guesses: guesses[i] ?? [] }))
      .filter(({ count }) => count > 0)
      // Hidden rows come behind all rows of logits; rows of one adapter stand together.
      .sort((a, b) => Number(wantsHidden(a)) - Number(wantsHidden(b)) || adapterOrder(a) - adapterOrder(b));
    const prefilled = batch.reduce((sum, { count }) => sum + (count > 1 ? count : 0), 0);
    // A row of logits for each token is no prefill.
    const scores = batch.some(({ sequence }) => sequence.kind === 'reading' && sequence.wants === 'scores');
    const decoding = batch.filter(({ sequence }) => decodes(sequence)).length;
    const startedAt = performance.now();
    const steps = batch.map((share) => ({ ...toStep(share), ...states.of(share.sequence) }));
    const outputs = await ember.step(steps);
    const elapsed = performance.now() - startedAt;
    counters.steps++;
    counters.lastStepMs = elapsed;
    counters.lastProgressAtMs = Date.now();
    counters.batchSizes[decoding] = (counters.batchSizes[decoding] ?? 0) + 1;
    if (prefilled > 0 && !scores) rate.observe(prefilled, elapsed);

    let row = 0;
    let hiddenRow = 0;
    for (const [i, share] of batch.entries()) {
      const { sequence, count, guesses } = share;
      const output = outputs[i] ?? null;
      const firstRow = row;
      const before = sequence.computed;
      if (sequence.kind === 'reading') {
        const rows = steps[i]!.rows ?? 0;
        const values = output?.logProbabilities ?? (rows === 0 ? new Float32Array() : await ember.hidden(hiddenRow, rows));
        if (!sequence.request.cancelled) read(sequence, count, values);
        if (sequence.wants === 'hidden') hiddenRow += rows;
        else row += count;
      } else {
        if (output !== null) row += 1 + guesses.length;
        if (!sequence.request.cancelled) {
          const right = await answers.advance({ sequence, count, guesses, output, firstRow });
          lengths.observe(sequence, guesses.length, right);
        }
      }
      if (!sequence.ended) leaveWindows(sequence, before, cache, prefixes);
    }
    running = running.filter((sequence) => !sequence.ended);
  }

  function read(reading: Reading, count: number, values: Float32Array): void {
    counters.promptTokensComputed += count;
    reading.take(values, reading.computed);
    reading.computed += count;
    if (remaining(reading) > 0) return;
    reading.finish();
    leave(reading);
    reading.ended = true;
  }

  const wake = (): void => (active ? undefined : void run());
  const requests = (): Set<ActiveRequest> => new Set([...running, ...waiting].map((sequence) => sequence.request));
  return {
    counters,
    add(sequences) {
      waiting.push(...sequences);
      wake();
    },
    cancel(requestId) {
      for (const request of requests()) {
        if (request.id !== requestId) continue;
        request.cancelled = true;
        if (running.every((sequence) => sequence.request !== request)) request.adapter?.release();
      }
      // Those that wait hold no cells; those that run leave before the next step.
      waiting = waiting.filter((sequence) => !sequence.request.cancelled);
      wake();
    },
    credit(requestId, tokens) {
      for (const request of requests()) if (request.id === requestId && request.credit !== undefined) request.credit += tokens;
      wake();
    },
    endReasoning(requestId) {
      const own = [...running, ...waiting].filter(({ request }) => request.id === requestId);
      return own.filter((sequence) => sequence.kind === 'answer' && sequence.guide?.endReasoning() === true).length > 0;
    },
    clear: () => prefixes.clear(),
    get cells() {
      const pool = cache.groups[0]?.pool;
      if (pool === undefined) return undefined;
      const prefixCells = prefixes.idle * PAGE_TOKENS;
      return { totalCells: pool.pageCount * PAGE_TOKENS, heldCells: Math.max(0, (pool.pageCount - pool.free) * PAGE_TOKENS - prefixCells), prefixCells };
    },
    get running() {
      return running.length;
    },
    get waiting() {
      return waiting.length;
    },
  };
}
