// Load time, prefill and decode of one checkpoint:
//   node bench/ember.ts DIR|1b [--ranks 2] [--activations mixed] [--prompt 512] [--decode 64] [--streams 1] [--depth 4] [--rounds 3]
// `1b` makes and uses a random model of one billion parameters.
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ActivationPath } from '../src/ember/index.ts';
import { startRunner } from './ember-runner.ts';
import { makeRandomModel } from './random-model.ts';

const number = (value: string) => ({ type: 'string' as const, default: value });
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ranks: number('2'),
    activations: { type: 'string', default: 'mixed' },
    prompt: number('512'),
    decode: number('64'),
    streams: number('1'),
    depth: number('4'),
    rounds: number('3'),
  },
});

async function directoryOf(name: string | undefined): Promise<string> {
  if (name === undefined) throw new Error('usage: node bench/ember.ts DIR|1b [options]');
  if (name !== '1b') return name;
  const folder = join(tmpdir(), 'hearth-bench-random-1b');
  if (!existsSync(join(folder, 'config.json'))) await makeRandomModel(folder);
  return folder;
}

const prompt = Number(values.prompt);
const decode = Number(values.decode);
const streams = Number(values.streams);
const depth = Number(values.depth);
await using runner = await startRunner(await directoryOf(positionals[0]), {
  ranks: Number(values.ranks),
  activations: values.activations as ActivationPath,
  contextTokens: Math.max(prompt, streams * (depth + decode + 64)),
});
const { memory, ranks } = runner.ember;
const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
console.log(
  `${ranks} ranks, loaded in ${runner.loadSeconds.toFixed(2)} s: weights ${mib(memory.weightsBytes)}, KV ${mib(memory.kvBytes)}, buffers ${mib(memory.computeBytes)}`,
);
await runner.decode(16);
for (let round = 0; round < Number(values.rounds); round++) {
  if (prompt > 0) console.log(`prefill of ${prompt}: ${(prompt / (await runner.prefill(prompt))).toFixed(1)} tokens/s`);
  if (decode > 0)
    console.log(
      `decode of ${decode} × ${streams} at ${depth}: ${((decode * streams) / (await runner.decode(decode, { depth, streams }))).toFixed(1)} tokens/s`,
    );
}
