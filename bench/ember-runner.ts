import { type ActivationPath, type Ember, loadEmber, PAGE_TOKENS, type StepSequence } from '../src/ember/index.ts';

export interface Runner extends AsyncDisposable {
  readonly ember: Ember;
  readonly loadSeconds: number;
  /** Seconds to evaluate `tokens` random prompt tokens after `depth` cells. */
  prefill(tokens: number, depth?: number): Promise<number>;
  /** Seconds to generate `tokens` tokens, one step each, in each of `streams` sequences that already hold `depth` cells (kept for the next call). */
  decode(tokens: number, options?: { depth?: number; streams?: number }): Promise<number>;
}

/** Drives the engine as its step loop does: prompts in pieces of `batchTokens`, greedy choice from the candidates. */
export async function startRunner(directory: string, options: { ranks: number; activations: ActivationPath; contextTokens: number }): Promise<Runner> {
  const start = performance.now();
  const batchTokens = 256;
  const ember = await loadEmber({ directory, batchTokens, ...options });
  const loadSeconds = (performance.now() - start) / 1000;
  let seed = 7;
  const randomToken = () => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return 100 + (seed % Math.min(20000, ember.vocabularySize - 100));
  };
  const table = (stream: number, streams: number) => {
    const each = Math.floor(ember.pageCount / streams);
    return Uint32Array.from({ length: each }, (_, i) => stream * each + i);
  };
  const sequence = (pages: Uint32Array, position: number, tokens: readonly number[], output: StepSequence['output']): StepSequence => ({
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
  const fill = async (pages: Uint32Array, from: number, to: number) => {
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
      const pages = table(0, 1);
      filled = 0;
      if (pages.length * PAGE_TOKENS < depth + tokens) throw new Error('the context is too small for this measurement');
      if (depth) await fill(pages, 0, depth);
      const begin = performance.now();
      await fill(pages, depth, depth + tokens);
      return (performance.now() - begin) / 1000;
    },
    async decode(tokens, { depth = 4, streams = 1 } = {}) {
      const tables = Array.from({ length: streams }, (_, i) => table(i, streams));
      let last: number[] = [];
      const known = streams === 1 && filled === depth;
      for (const pages of tables) last.push(known ? 100 : await fill(pages, 0, depth));
      filled = streams === 1 ? depth : 0;
      const begin = performance.now();
      for (let i = 0; i < tokens; i++) {
        const outputs = await ember.step(tables.map((pages, s) => sequence(pages, depth + i, [last[s]!], 'last')));
        last = outputs.map((o) => o!.ids[0]!);
      }
      return (performance.now() - begin) / 1000;
    },
    [Symbol.asyncDispose]: () => ember[Symbol.asyncDispose](),
  };
}
