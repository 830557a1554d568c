// Decoding with a schema beside free decoding: the share of speed that masks cost (engines E26).
// node bench/structure.ts <directory of an MLX checkpoint>
import { type AnswerFormat, GREEDY_SAMPLING } from '../src/contract/index.ts';
import { checkpointFacts, directoryArgument, never, startEngineSession } from './engine-session.ts';
import { median } from './measure.ts';

const TOKENS = 120;
const ROUNDS = 5;

const facts = { ...(await checkpointFacts(directoryArgument())), hasChatTemplate: true };
const options = { contextTokens: 2_048 };
await using running = await startEngineSession(facts, options);
const { session } = running;

/** Milliseconds per token, the first one left out: it holds the prefill and the compile. */
async function run(format?: AnswerFormat): Promise<number> {
  const messages = [{ role: 'user' as const, content: [{ kind: 'text' as const, text: 'Describe twelve animals.' }] }];
  const asked = { requestId: 'bench', messages, maxTokens: TOKENS, stop: [], choices: 1, sampling: { ...GREEDY_SAMPLING, temperature: 1, seed: 5 } };
  let firstAt = 0;
  let tokens = 0;
  for await (const event of session.generate({ ...asked, ...(format === undefined ? {} : { format }) }, never)) {
    if (event.kind === 'error') throw new Error(event.message);
    if (event.kind === 'text-delta' && firstAt === 0) firstAt = performance.now();
    if (event.kind === 'usage') tokens = event.completionTokens;
  }
  return (performance.now() - firstAt) / (tokens - 1);
}

const animal = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 30 },
    legs: { type: 'integer', minimum: 0, maximum: 100 },
    about: { type: 'string' },
    food: { enum: ['plants', 'meat', 'both'] },
  },
  required: ['name', 'legs', 'about', 'food'],
  additionalProperties: false,
};
const FORMATS: Readonly<Record<string, AnswerFormat>> = {
  schema: { kind: 'json-schema', schema: { type: 'array', items: animal, minItems: 12, maxItems: 12 } },
  'free text through a grammar': { kind: 'grammar', text: 'root ::= .*' },
};
await run();
for (const [name, format] of Object.entries(FORMATS)) {
  await run(format);
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round++) ratios.push((await run(format)) / (await run()));
  process.stdout.write(`${name}: ${median(ratios).toFixed(3)} × the time per token (${ratios.map((ratio) => ratio.toFixed(2)).join(', ')})\n`);
}
