import { setImmediate as turn } from 'node:timers/promises';
import type { FinishReason } from '../../../contract/index.ts';
import type { Ember, PagePool, StepOutput, StepSequence } from '../../../ember/index.ts';
import type { FromWorker } from '../../protocol/messages.ts';
import { createPrefillRate, type PrefillRate, planStep } from './plan-step.ts';
import { createPrefixTree } from './prefix-tree.ts';
import { type ActiveRequest, awaitsLeader, freePages, generatedTokens, growPages, mayEnter, type Sequence, takePrefix } from './sequence.ts';

export interface StepLoopOptions {
  readonly ember: Pick<Ember, 'step' | 'logits'>;
  readonly pool: PagePool;
  readonly stopTokens: ReadonlySet<number>;
  readonly parallelSequences: number;
  readonly batchTokens: number;
  readonly rate?: PrefillRate;
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
}

export interface StepLoop {
  /** All choices of one request, in queue order. */
  add(sequences: readonly Sequence[]): void;
  cancel(requestId: number): void;
  /** Forgets all prefixes. */
  clear(): void;
  readonly running: number;
  readonly waiting: number;
  readonly counters: LoopCounters;
}

/**
 * The step loop of docs/spec/engines.md §1.6. Each turn: cancelled sequences leave, waiting ones enter in order, every running sequence brings
 * its share to one step, and each is sampled by its own sampler. Between steps the event loop gets its turn, so that cancels and new requests
 * are seen after one step at most.
 */
export function createStepLoop(options: StepLoopOptions): StepLoop {
  const { ember, pool, send } = options;
  const prefixes = createPrefixTree(pool);
  const rate = options.rate ?? createPrefillRate(options.batchTokens);
  /** In order of admission; the last is paused first. */
  let running: Sequence[] = [];
  let waiting: Sequence[] = [];
  let active = false;
  const counters: LoopCounters = {
    promptTokensComputed: 0,
    promptTokensCached: 0,
    generatedTokens: 0,
    steps: 0,
    batchSizes: [],
    lastStepMs: 0,
    lastProgressAtMs: Date.now(),
  };

  async function run(): Promise<void> {
    active = true;
    try {
      for (;;) {
        dropCancelled();
        admit();
        if (running.length === 0) break;
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
    for (const sequence of running) if (sequence.request.cancelled) freePages(sequence, pool);
    const wanted = (sequence: Sequence): boolean => !sequence.request.cancelled;
    running = running.filter(wanted);
    waiting = waiting.filter(wanted);
  }

  function admit(): void {
    while (running.length < options.parallelSequences) {
      const place = waiting.findIndex((sequence) => !awaitsLeader(sequence));
      const next = waiting[place];
      if (next === undefined) return;
      // Held before it is counted: what it will use can then not be freed for it.
      takePrefix(next, pool, prefixes);
      if (!mayEnter(next, running, pool, prefixes)) {
        freePages(next, pool);
        return;
      }
      waiting.splice(place, 1);
      running.push(next);
      if (next.request.started) continue;
      next.request.started = true;
      next.request.cachedTokens = next.computed;
      counters.promptTokensCached += next.computed;
      send({ kind: 'start', sequence: next.request.id, promptTokens: next.promptTokens, cachedTokens: next.computed });
    }
  }

  /** Gives every share its cells; where the pool is out, the sequence admitted last is paused, and is evaluated again when there is room. */
  function reserve(shares: number[]): void {
    for (let i = 0; i < running.length; i++) {
      const sequence = running[i]!;
      while (!growPages(sequence, sequence.computed + shares[i]!, pool, prefixes)) {
        const last = running.pop()!;
        shares.pop();
        freePages(last, pool);
        waiting.unshift(last);
        if (last === sequence) return;
      }
    }
  }

  async function step(): Promise<void> {
    const decodes = running.some((sequence) => generatedTokens(sequence) > 0 && remaining(sequence) === 1);
    const shares = planStep(
      running.map((sequence) => ({ remaining: remaining(sequence) })),
      { batchTokens: options.batchTokens, prefillChunk: rate.chunk(decodes) },
    );
    reserve(shares);
    const batch = running.map((sequence, i) => ({ sequence, count: shares[i]! })).filter(({ count }) => count > 0);
    const prefilled = batch.reduce((sum, { count }) => sum + (count > 1 ? count : 0), 0);
    const decoding = batch.filter(({ sequence }) => generatedTokens(sequence) > 0 && remaining(sequence) === 1).length;
    const startedAt = performance.now();
    const outputs = await ember.step(batch.map(({ sequence, count }) => toStep(sequence, count)));
    const elapsed = performance.now() - startedAt;
    counters.steps++;
    counters.lastStepMs = elapsed;
    counters.lastProgressAtMs = Date.now();
    counters.batchSizes[decoding] = (counters.batchSizes[decoding] ?? 0) + 1;
    if (prefilled > 0) rate.observe(prefilled, elapsed);

    let row = 0;
    for (const [i, { sequence, count }] of batch.entries()) {
      const output = outputs[i] ?? null;
      const outputRow = output === null ? -1 : row++;
      if (sequence.request.cancelled) continue;
      await advance(sequence, count, output, outputRow);
    }
    running = running.filter((sequence) => !sequence.ended);
  }

  async function advance(sequence: Sequence, count: number, output: StepOutput | null, row: number): Promise<void> {
    const { request, choice } = sequence;
    const inPrompt = Math.max(0, Math.min(count, sequence.promptTokens - sequence.computed));
    counters.promptTokensComputed += inPrompt;
    sequence.computed += count;
    if (output === null) {
      if (choice === 0 && inPrompt > 0)
        send({ kind: 'prefill-progress', sequence: request.id, doneTokens: sequence.computed, totalTokens: sequence.promptTokens });
      return;
    }
    if (generatedTokens(sequence) === 0) remember(sequence);
    const id = sequence.sampler.choose(output) ?? sequence.sampler.chooseFromRow(await ember.logits(row));
    sequence.sampler.accept(id);
    sequence.tokens.push(id);
    counters.generatedTokens++;
    request.completionTokens++;
    if (options.stopTokens.has(id)) {
      end(sequence, [id], 'stop', sequence.answer.flush());
      return;
    }
    const out = sequence.answer.push(id);
    if (out.stopString !== undefined) end(sequence, [id], 'stop', out);
    else if (generatedTokens(sequence) >= sequence.maxTokens) {
      const rest = sequence.answer.flush();
      end(sequence, [id], 'length', { ...rest, text: out.text + rest.text });
    } else send({ kind: 'step', sequence: request.id, choice, tokens: [id], text: out.text });
  }

  /** Prefixes are left behind when the prompt is evaluated, for requests that run beside, and at the end, for the next turn. */
  function remember(sequence: Sequence): void {
    const { salt } = sequence.request;
    if (salt !== null) prefixes.remember(salt, sequence.tokens, sequence.pages, sequence.computed);
  }

  function end(sequence: Sequence, tokens: number[], reason: FinishReason, last: { text: string; stopString?: string }): void {
    const { request, choice } = sequence;
    send({ kind: 'step', sequence: request.id, choice, tokens, text: last.text });
    const stopped = last.stopString === undefined ? { reason } : { reason: 'stop' as const, stopString: last.stopString };
    send({ kind: 'finish', sequence: request.id, choice, ...stopped });
    remember(sequence);
    freePages(sequence, pool);
    sequence.ended = true;
    request.openChoices--;
    if (request.openChoices > 0) return;
    const { promptTokens, cachedTokens, completionTokens } = request;
    send({ kind: 'done', sequence: request.id, promptTokens, cachedTokens, completionTokens, reasoningTokens: 0 });
  }

  const requests = (): Set<ActiveRequest> => new Set([...running, ...waiting].map((sequence) => sequence.request));
  return {
    counters,
    add(sequences) {
      waiting.push(...sequences);
      if (!active) void run();
    },
    cancel(requestId) {
      for (const request of requests()) if (request.id === requestId) request.cancelled = true;
      // Those that wait hold no cells; those that run leave before the next step.
      waiting = waiting.filter((sequence) => !sequence.request.cancelled);
    },
    clear: () => prefixes.clear(),
    get running() {
      return running.length;
    },
    get waiting() {
      return waiting.length;
    },
  };
}

const remaining = (sequence: Sequence): number => sequence.tokens.length - sequence.computed;

function toStep(sequence: Sequence, count: number): StepSequence {
  const { computed, tokens, sampler, pages } = sequence;
  const last = computed + count === tokens.length;
  return {
    pages,
    position: computed,
    tokens: tokens.slice(computed, computed + count),
    output: last ? 'last' : 'none',
    temperature: sampler.sumTemperature,
    adjustments: last ? sampler.adjustments() : [],
    candidates: sampler.candidates,
  };
}
