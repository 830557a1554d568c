import { type ActivationPath, type Ember, loadEmber, PAGE_TOKENS, type PageTables, type StepSequence } from '../src/ember/index.ts';

export interface Runner extends AsyncDisposable {
  readonly ember: Ember;
  readonly loadSeconds: number;
  /** Seconds to evaluate `tokens` random prompt tokens after `depth` cells. */
  prefill(tokens: number, depth?: number): Promise<number>;
  /** Seconds to generate `tokens` tokens, one step each, in each of `streams` sequences that already hold `depth` cells (kept for the next call). */
  decode(tokens: number, options?: { depth?: number; streams?: number }): Promise<number>;
}

/** Streams that have room for windows of their own. */
const MOST_STREAMS = 8;

/** Drives the engine as its step loop does: prompts in pieces of `batchTokens`, greedy choice from the candidates. */
export async function startRunner(directory: string, options: { ranks: number; activations: ActivationPath; contextTokens: number }): Promise<Runner> {
  const start = performance.now();
  const batchTokens = 256;
  const ember = await loadEmber({ directory, batchTokens, sequences: MOST_STREAMS, ...options });
  const loadSeconds = (performance.now() - start) / 1000;
  let seed = 7;
  const randomToken = () => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return 100 + (seed % Math.min(20000, ember.vocabularySize - 100));
  };
  /** Equal parts of each pool; that of a window is gone through in turns. */
  const tables = (stream: number, streams: number): PageTables => {
    const length = Math.floor(ember.pageGroups[0]!.pageCount / streams);
    return ember.pageGroups.map(({ pageCount }) => {
      const each = Math.floor(pageCount / streams);
      return Uint32Array.from({ length }, (_, i) => stream * each + (i % each));
    });
  };
  const sequence = (pages: PageTables, position: number, tokens: readonly number[], output: StepSequence['output']): StepSequence => ({
    pages,
    position,
    tokens,
    output,
    temperature: 1,
    adjustments: [],
    candidates: 1,
  });
  /** Depth that the first sequence of one stream was filled to: decoding writes behind it only. */
  let filled = 0;
  const fill = async (pages: PageTables, from: number, to: number) => {
    let last = 0;
    for (let at = from; at < to; at += batchTokens) {
      const tokens = Array.from({ length: Math.min(batchTokens, to - at) }, randomToken);
      const [output] = await ember.step([sequence(pages, at, tokens, at + tokens.length >= to ? 'last' : 'none')]);
      last = output?.ids[0] ?? 0;
    }
    return last;
  };
  return {
    ember,
    loadSeconds,
    async prefill(tokens, depth = 0) {
      const pages = tables(0, 1);
      filled = 0;
      if (pages[0]!.length * PAGE_TOKENS < depth + tokens) throw new Error('the context is too small for this measurement');
      if (depth) await fill(pages, 0, depth);
      const begin = performance.now();
      await fill(pages, depth, depth + tokens);
      return (performance.now() - begin) / 1000;
    },
    async decode(tokens, { depth = 4, streams = 1 } = {}) {
      const own = Array.from({ length: streams }, (_, i) => tables(i, streams));
      let last: number[] = [];
      const known = streams === 1 && filled === depth;
      for (const pages of own) last.push(known ? 100 : await fill(pages, 0, depth));
      filled = streams === 1 ? depth : 0;
      const begin = performance.now();
      for (let i = 0; i < tokens; i++) {
        const outputs = await ember.step(own.map((pages, s) => sequence(pages, depth + i, [last[s]!], 'last')));
        last = outputs.map((o) => o!.ids[0]!);
      }
      return (performance.now() - begin) / 1000;
    },
    [Symbol.asyncDispose]: () => ember[Symbol.asyncDispose](),
  };
}
