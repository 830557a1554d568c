// Decoding with guessed tokens beside plain decoding, on a text that repeats its prompt (engines E45).
// node bench/speculation.ts <directory of an MLX checkpoint>
import { GREEDY_SAMPLING } from '../src/contract/index.ts';
import type { EngineSession } from '../src/engines/index.ts';
import { checkpointFacts, directoryArgument, never, startEngineSession } from './engine-session.ts';
import { median } from './measure.ts';

const TOKENS = 150;
const ROUNDS = 3;
const LINE = 'apple, banana, cherry, orange, lemon, grape\n';

const facts = await checkpointFacts(directoryArgument());

async function start(promptLookup: boolean): Promise<EngineSession> {
  const options = { promptLookup, contextTokens: 2_048 };
  return (await startEngineSession(facts, options)).session;
}

async function run(session: EngineSession): Promise<{ text: string; tokensPerSecond: number; tokensPerStep: number }> {
  const before = await session.stats();
  const asked = { requestId: 'bench', prompt: LINE.repeat(4), maxTokens: TOKENS, stop: [], choices: 1, sampling: GREEDY_SAMPLING };
  let text = '';
  let firstAt = 0;
  for await (const event of session.generate(asked, never)) {
    if (event.kind === 'error') throw new Error(event.message);
    if (event.kind !== 'text-delta') continue;
    if (text === '') firstAt = performance.now();
    text += event.text;
  }
  const tokensPerSecond = (TOKENS * 1_000) / (performance.now() - firstAt);
  const after = await session.stats();
  return { text, tokensPerSecond, tokensPerStep: (after.generatedTokens - before.generatedTokens) / (after.steps - before.steps) };
}

const [plain, guessing] = [await start(false), await start(true)];
const found: [Awaited<ReturnType<typeof run>>, Awaited<ReturnType<typeof run>>][] = [];
for (let round = 0; round < ROUNDS; round++) found.push([await run(plain), await run(guessing)]);
const ratio = median(found.map(([one, many]) => many.tokensPerSecond / one.tokensPerSecond));
const same = found.every(([one, many]) => one.text === many.text);
const [, last] = found.at(-1)!;
console.log(
  `guessing ÷ plain: ${ratio.toFixed(2)} in tokens per second (bar 1.5), ${last.tokensPerStep.toFixed(2)} tokens a step, ${same ? 'the same text' : 'another text: the two likeliest tokens were close (docs/guide/serving.md)'}`,
);
process.exit(0);
