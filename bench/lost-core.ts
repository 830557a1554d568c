// Decoding on two compute threads while another process keeps one core busy, beside one compute thread: engines E9 asks for half of its rate.
// node bench/lost-core.ts <directory of an MLX checkpoint>
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { GREEDY_SAMPLING } from '../src/contract/index.ts';
import type { EngineSession } from '../src/engines/index.ts';
import { checkpointFacts, directoryArgument, never, startEngineSession } from './engine-session.ts';
import { median } from './measure.ts';

const TOKENS = 40;
const ROUNDS = 5;

if (process.argv[2] === '--burn') for (;;);

const facts = await checkpointFacts(directoryArgument());

async function start(threads: number): Promise<EngineSession> {
  const options = { threads, contextTokens: 2_048 };
  return (await startEngineSession(facts, options)).session;
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
