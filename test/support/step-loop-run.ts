import { createPageCache, PAGE_TOKENS, type PageGroup, type RowSummary, type StepOutput, type StepSequence } from '../../src/ember/index.ts';
import type { Drafter } from '../../src/engines/ember/worker/drafts.ts';
import type { Sequence } from '../../src/engines/ember/worker/sequence.ts';
import { createStepLoop } from '../../src/engines/ember/worker/step-loop.ts';
import type { FromWorker } from '../../src/engines/protocol/messages.ts';
import { createAnswerText, createSampler } from '../../src/engines/text/index.ts';
import { GREEDY } from './engine-run.ts';

/**
 * An ember whose cells hold a digest of the text up to them: the next token is a digest of what all pages of the sequence say, of each group as far
 * as its window goes. A wrong page, a shared one that is written, a page that was given away too early, a lost or repeated token change the text.
 */
export function cacheEmber(groups: readonly PageGroup[], gate: () => Promise<void> = async () => {}) {
  const cells = groups.map(({ pageCount }) => new Int32Array(pageCount * PAGE_TOKENS).fill(-1));
  /** With copies of the tables: those of windows change. */
  const batches: StepSequence[][] = [];
  const mix = (digest: number, value: number): number => (Math.imul(digest, 31) + value + 1) >>> 0;
  const at = ({ pages }: StepSequence, group: number, position: number): number =>
    pages[group]![Math.floor(position / PAGE_TOKENS)]! * PAGE_TOKENS + (position % PAGE_TOKENS);
  function write(sequence: StepSequence): void {
    for (const [i, token] of sequence.tokens.entries()) {
      const position = sequence.position + i;
      const before = position === 0 ? 7 : cells[0]![at(sequence, 0, position - 1)]!;
      for (const [g, values] of cells.entries()) values[at(sequence, g, position)] = mix(before, token);
    }
  }
  function read(sequence: StepSequence, last: number): RowSummary {
    let digest = 7;
    for (const [g, { window }] of groups.entries())
      for (let position = window === 0 ? 0 : Math.max(0, last - window + 1); position <= last; position++)
        digest = mix(digest, cells[g]![at(sequence, g, position)] ?? -9);
    return { max: 1, sum: 1, ids: new Uint32Array([100 + (digest % 800)]), values: new Float32Array([1]) };
  }
  return {
    batches,
    async step(sequences: readonly StepSequence[]): Promise<(StepOutput | null)[]> {
      batches.push(sequences.map((sequence) => ({ ...sequence, pages: sequence.pages.map((table) => table.slice()) })));
      await gate();
      for (const sequence of sequences) write(sequence);
      return sequences.map((sequence) => {
        if (sequence.output === 'none') return null;
        const rows = sequence.output === 'last' ? (sequence.rows ?? 1) : 1;
        const first = sequence.position + sequence.tokens.length - rows;
        const [...earlier] = Array.from({ length: rows }, (_, row) => read(sequence, first + row));
        const last = earlier.pop()!;
        return { ...last, earlier };
      });
    },
    logits: async () => new Float32Array(),
    /** A row for each hidden token: the token itself. */
    async hidden(first: number, count: number): Promise<Float32Array> {
      const rows = batches
        .at(-1)!
        .flatMap((sequence) => (sequence.output === 'hidden' ? sequence.tokens.slice(-(sequence.rows ?? sequence.tokens.length)) : []));
      return Float32Array.from(rows.slice(first, first + count));
    },
  };
}

export interface StepLoopRunOptions {
  /** Of the first group. */
  readonly pages: number;
  readonly windows?: readonly PageGroup[];
  readonly parallel?: number;
  readonly batchTokens?: number;
  readonly gate?: () => Promise<void>;
  readonly drafter?: Drafter;
}

/** A step loop over `cacheEmber`. */
export function runStepLoop({ pages, windows = [], parallel, batchTokens, gate, drafter }: StepLoopRunOptions) {
  const groups = [{ window: 0, pageCount: pages }, ...windows];
  const cache = createPageCache(groups);
  const ember = cacheEmber(groups, gate);
  const sent: FromWorker[] = [];
  /** Number of batches when a request was done. */
  const doneAt = new Map<number, number>();
  const { promise: idle, resolve } = Promise.withResolvers<void>();
  let expected = 0;
  let ids = 0;
  const loop = createStepLoop({
    ember,
    cache,
    stopTokens: new Set(),
    parallelSequences: parallel ?? 4,
    batchTokens: batchTokens ?? 256,
    ...(drafter === undefined ? {} : { drafter }),
    send: (message) => {
      sent.push(message);
      if (message.kind !== 'done') return;
      doneAt.set(message.sequence, ember.batches.length);
      if (--expected === 0) resolve();
    },
    onFailure: (error) => {
      throw error;
    },
  });
  const add = (prompt: number[], maxTokens: number, choices = 1, salt: string | null = null, credit?: number): number => {
    const id = ids++;
    expected++;
    const request = {
      id,
      promptTokens: prompt.length,
      salt,
      cachedTokens: 0,
      openChoices: choices,
      completionTokens: 0,
      reasoningTokens: 0,
      started: false,
      cancelled: false,
      adapter: null,
      ...(credit === undefined ? {} : { credit }),
    };
    let leader: Sequence | null = null;
    const sequences = Array.from({ length: choices }, (_, choice) => {
      const sequence: Sequence = {
        kind: 'answer',
        request,
        choice,
        tokens: [...prompt],
        promptTokens: prompt.length,
        maxTokens,
        sampler: createSampler(GREEDY, 0, choice, prompt),
        answer: createAnswerText({ push: (token) => `${token} `, flush: () => '' }, []),
        leader,
        guessable: true,
        computed: 0,
        pages: [],
        parting: 0,
        ended: false,
      };
      leader ??= sequence;
      return sequence;
    });
    loop.add(sequences);
    return id;
  };
  const textOf = (id: number, choice = 0): string =>
    sent.map((message) => (message.kind === 'step' && message.sequence === id && message.choice === choice ? message.text : '')).join('');
  /** Free pages of each group. */
  const free = (): number[] => cache.groups.map(({ pool }) => pool.free);
  return { cache, pool: cache.groups[0]!.pool, ember, loop, sent, doneAt, add, idle, textOf, free };
}
