/* A process that starts an engine's child, as the daemon does, says its process id, and waits to be killed. */
import { readFileSync } from 'node:fs';
import type { ModelFacts } from '../../src/core/index.ts';
import { createEmberEngine } from '../../src/engines/index.ts';
import { GREEDY, startEngine } from './engine-run.ts';

const { facts, convertedDirectory, busy } = JSON.parse(readFileSync(0, 'utf8')) as { facts: ModelFacts; convertedDirectory: string; busy: boolean };
const running = await startEngine(createEmberEngine({ convertedDirectory }), facts, { contextTokens: 4_096, threads: 1 });
if (busy) void running.ask({ maxTokens: 4_000, sampling: { ...GREEDY, temperature: 1 } });
process.stdout.write(`${running.child.pid}\n`);
setInterval(() => {}, 1_000);
