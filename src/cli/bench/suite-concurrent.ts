import { round } from './statistics.ts';
import type { CaseResult, CaseWork, SuiteCase } from './suite-case.ts';

/** The ratios of docs/spec/engines.md §7 that need no peer beside them: several streams against one (B2), and a cancel in the prompt (B4). */
export const CONCURRENT_CASES: readonly SuiteCase[] = [
  { name: 'streams-2', run: (work) => streams(work, 2) },
  { name: 'streams-4', run: (work) => streams(work, 4) },
  { name: 'cancel', run: cancel },
];

const STREAM_TOKENS = 48;

/** Total tokens per second of `count` answers at once, and their ratio to one alone. */
async function streams({ prompt, ask }: CaseWork, count: number): Promise<CaseResult> {
  const timed = async (prompts: readonly (readonly number[])[]) => {
    const startedAt = performance.now();
    const answers = await Promise.all(prompts.map((ids) => ask(ids, STREAM_TOKENS)));
    return (answers.reduce((sum, answer) => sum + answer.completionTokens, 0) * 1000) / (performance.now() - startedAt);
  };
  const alone = await timed([await prompt(16, 'alone')]);
  const prompts = await Promise.all(Array.from({ length: count }, (_, i) => prompt(16, `together ${i}`)));
  const together = await timed(prompts);
  return {
    passed: together > 0,
    performance: { tokens_per_sec: round(together) },
    metadata: { streams: count, alone_tokens_per_sec: round(alone), ratio: round(together / alone) },
  };
}

/** How long after a cancel the model answers somebody else. */
async function cancel({ prompt, ask, context, ready }: CaseWork): Promise<CaseResult> {
  const long = await prompt(Math.min(2048, Math.floor((ready.model.contextTokens ?? 1024) / 2)), 'to be given up');
  const short = await prompt(4, 'in between');
  const stop = new AbortController();
  const given = ask(long, 4, AbortSignal.any([stop.signal, context.signal])).catch(() => null);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const stoppedAt = performance.now();
  stop.abort();
  await given;
  const next = await ask(short, 1);
  const freedS = round((performance.now() - stoppedAt) / 1000, 3);
  return { passed: next.completionTokens === 1, performance: { duration_s: freedS }, metadata: { freed_after_s: freedS } };
}
