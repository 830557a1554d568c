// Decoding with a schema beside free decoding: the share of speed that masks cost (engines E26).
// node bench/structure.ts <directory of an MLX checkpoint>
import { readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AnswerFormat, GREEDY_SAMPLING } from '../src/contract/index.ts';
import { createEmberEngine } from '../src/engines/index.ts';
import { createSupervisor } from '../src/supervisor/index.ts';
import { median } from './measure.ts';

const never = new AbortController().signal;
const TOKENS = 120;
const ROUNDS = 5;

const directory = process.argv[2];
if (directory === undefined) throw new Error('name the directory of an MLX checkpoint');
const config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>;
const facts = {
  directory,
  framework: 'MLX' as const,
  architecture: String(config['model_type']),
  config,
  weightFiles: ['model.safetensors'],
  weightBytes: statSync(join(directory, 'model.safetensors')).size,
  hasChatTemplate: true,
};
const engine = createEmberEngine({ convertedDirectory: join(tmpdir(), 'hearth-structure') });
await using supervisor = createSupervisor();
const options = { contextTokens: 2_048 };
const prepared = await engine.prepare(facts, () => {}, never);
const child = await supervisor.start(engine.processSpec(prepared, options)!);
const session = await engine.connect(child.channel, never);
await session.load(options, () => {}, never);

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
await session.close();
