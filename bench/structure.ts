// Decoding with a schema beside free decoding: the share of speed that masks cost (engines E26), by the clock and by the child's processor time,
// which other work on the machine disturbs less. Medians of rounds that take turns; each round has its own seed.
// node bench/structure.ts <directory of an MLX checkpoint>
import { readFileSync } from 'node:fs';
import { type AnswerFormat, GREEDY_SAMPLING } from '../src/contract/index.ts';
import { checkpointFacts, directoryArgument, never, startEngineSession } from './engine-session.ts';
import { median } from './measure.ts';

const TOKENS = 120;
const ROUNDS = 5;

const facts = { ...(await checkpointFacts(directoryArgument())), hasChatTemplate: true };
const options = { contextTokens: 2_048 };
await using running = await startEngineSession(facts, options);
const { session, pid } = running;

/** Milliseconds of processor time so far; where the system does not tell, none. */
function processorMs(): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return 10 * (Number(fields[11]) + Number(fields[12]));
  } catch {
    return 0;
  }
}

interface PerToken {
  readonly wall: number;
  readonly processor: number;
}

/** Milliseconds per token, the first one left out: it holds the prefill and the compile. */
async function run(seed: number, format?: AnswerFormat): Promise<PerToken> {
  const messages = [{ role: 'user' as const, content: [{ kind: 'text' as const, text: 'Describe twelve animals.' }] }];
  const asked = { requestId: 'bench', messages, maxTokens: TOKENS, stop: [], choices: 1, sampling: { ...GREEDY_SAMPLING, temperature: 1, seed } };
  let firstAt = 0;
  let processorAt = 0;
  let tokens = 0;
  for await (const event of session.generate({ ...asked, ...(format === undefined ? {} : { format }) }, never)) {
    if (event.kind === 'error') throw new Error(event.message);
    if (event.kind === 'text-delta' && firstAt === 0) {
      firstAt = performance.now();
      processorAt = processorMs();
    }
    if (event.kind === 'usage') tokens = event.completionTokens;
  }
  return { wall: (performance.now() - firstAt) / (tokens - 1), processor: (processorMs() - processorAt) / (tokens - 1) };
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
await run(0);
for (const [name, format] of Object.entries(FORMATS)) {
  await run(0, format);
  const plain: PerToken[] = [];
  const masked: PerToken[] = [];
  for (let seed = 1; seed <= ROUNDS; seed++) {
    masked.push(await run(seed, format));
    plain.push(await run(seed));
  }
  const ratio = (of: (one: PerToken) => number): number => median(masked.map(of)) / median(plain.map(of));
  process.stdout.write(
    `${name}: ${ratio(({ wall }) => wall).toFixed(3)} × the time per token, ${ratio(({ processor }) => processor).toFixed(3)} × the processor time\n`,
  );
}
