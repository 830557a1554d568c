// Decoding on two compute threads while another process keeps one core busy, beside one compute thread: engines E9 asks for half of its rate.
// node bench/lost-core.ts <directory of an MLX checkpoint>
import { fork } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { GREEDY_SAMPLING } from '../src/contract/index.ts';
import { createEmberEngine, type EngineSession } from '../src/engines/index.ts';
import { createSupervisor } from '../src/supervisor/index.ts';
import { median } from './measure.ts';

const never = new AbortController().signal;
const TOKENS = 40;
const ROUNDS = 5;

if (process.argv[2] === '--burn') for (;;);

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
  hasChatTemplate: false,
};
const engine = createEmberEngine({ convertedDirectory: join(tmpdir(), 'hearth-lost-core') });
await using supervisor = createSupervisor();

async function start(threads: number): Promise<EngineSession> {
  const options = { threads, contextTokens: 2_048 };
  const prepared = await engine.prepare(facts, () => {}, never);
  const child = await supervisor.start(engine.processSpec(prepared, options)!);
  const session = await engine.connect(child.channel, never);
  await session.load(options, () => {}, never);
  return session;
}

/** Tokens per second of one stream. */
async function rate(session: EngineSession): Promise<number> {
  const startedAt = performance.now();
  const asked = { requestId: 'bench', tokens: [1, 2, 3], maxTokens: TOKENS, stop: [], choices: 1, sampling: { ...GREEDY_SAMPLING, logitBias: { 5: 100 } } };
  for await (const event of session.generate(asked, never)) if (event.kind === 'error') throw new Error(event.message);
  return (TOKENS * 1_000) / (performance.now() - startedAt);
}

const sessions = [await start(1), await start(2)] as const;
for (const session of sessions) await rate(session);
// As many burners as leave one of two cores.
const burners = Array.from({ length: Math.max(1, availableParallelism() - 1) }, () => fork(import.meta.filename, ['--burn']));
const rates: [number, number][] = [];
for (let round = 0; round < ROUNDS; round++) rates.push([await rate(sessions[0]), await rate(sessions[1])]);
for (const burner of burners) burner.kill('SIGKILL');
const [one, two] = [median(rates.map(([first]) => first)), median(rates.map(([, second]) => second))];
console.log(`tokens per second with one core busy: 1 thread ${one.toFixed(1)}, 2 threads ${two.toFixed(1)}, ratio ${(two / one).toFixed(2)} (bar 0.5)`);
process.exit(0);
