import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeRandomModel } from '../../../bench/random-model.ts';
import { loadEmber } from '../load/load-ember.ts';
import type { Ember } from '../types.ts';

const STEPS = 60;
const config = {
  model_type: 'llama',
  hidden_size: 512,
  num_hidden_layers: 8,
  intermediate_size: 2048,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  vocab_size: 8192,
};

async function decodeMs(ember: Ember): Promise<number> {
  const startedAt = performance.now();
  for (let position = 0; position < STEPS; position++)
    await ember.step([{ pages: [Uint32Array.of(0, 1)], position, tokens: [7], output: 'last', temperature: 0, adjustments: [], candidates: 1 }]);
  return performance.now() - startedAt;
}

describe('a rank that loses its core', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hearth-lost-core-'));
  let busy: ChildProcess;
  beforeAll(async () => {
    await makeRandomModel(directory, { config });
    busy = spawn(process.execPath, ['-e', 'console.log(1); for (;;) {}'], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(busy.stdout!, 'data');
  });
  afterAll(() => {
    busy.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });

  it('[engines E9] slows the others: with one core busy, two ranks decode at half of the rate of one at least', async () => {
    const load = (ranks: number) => loadEmber({ directory, ranks, activations: 'mixed', contextTokens: 64, batchTokens: 32 });
    await using one = await load(1);
    await using two = await load(2);
    const ratios: number[] = [];
    // Other work comes and goes on a test machine; ranks that stopped each other would never reach half.
    while (ratios.length < 20 && !(Math.max(0, ...ratios) >= 0.5)) ratios.push((await decodeMs(one)) / (await decodeMs(two)));
    expect(Math.max(...ratios), ratios.map((ratio) => ratio.toFixed(2)).join(' ')).toBeGreaterThanOrEqual(0.5);
  });
});
