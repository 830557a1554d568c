import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { ACTIVATION, PLAIN_TYPE, SCALE_TYPE } from '../kernel-interface.ts';
import { kernelModule, loadKernels } from '../load-kernels.ts';
import { createExchangeBuffers, WORD } from './exchange.ts';
import { createSharedWork, type SharedWork } from './shared-work.ts';

const PROGRAM = join(import.meta.dirname, '../../../test/support/helping-thread.ts');
const exchangeOfTwo = () => createExchangeBuffers({ ranks: 2, sumFloats: 1, stepWords: 1, resultWords: 1, scoreWords: 1, maskWords: 1 });
const newMemory = (pages: number) => new WebAssembly.Memory({ initial: pages, maximum: 65_536, shared: true });
const [ROWS, K] = [2_000, 2_048];

/** Two ranks in one thread: kernels that only note who was asked for which rows, `during` being called in the middle of each piece. */
function twoRanks(during: (helper: SharedWork) => void) {
  const exchange = exchangeOfTwo();
  const done: { by: string; from: number; to: number }[] = [];
  const noting = (by: string) => ({
    ...loadKernels(newMemory(1)),
    matmulPlain: (...[, , , , , from, to]: number[]) => {
      if (by === 'owner') during(helper);
      done.push({ by, from: from!, to: to! });
    },
  });
  const owner = createSharedWork({ rank: 0, kernels: noting('owner') }, exchange);
  const helper = createSharedWork({ rank: 1, kernels: noting('own work of the helper') }, exchange);
  const idle = noting('nobody');
  owner.join([{ rank: 1, kernels: idle }]);
  helper.join([{ rank: 0, kernels: noting('helper') }]);
  return { owner, helper, done, control: new Int32Array(exchange.control) };
}

test('each row of a product is done once, by its owner or by whoever helps', () => {
  const { owner, helper, done } = twoRanks((other) => void other.help());
  expect(helper.help()).toBe(false);
  for (let product = 0; product < 3; product++) {
    done.length = 0;
    owner.matmulPlain(PLAIN_TYPE.bf16, 0, 0, 0, ROWS, K, 1);
    expect(new Set(done.map(({ by }) => by))).toEqual(new Set(['owner', 'helper']));
    const inOrder = done.toSorted((a, b) => a.from - b.from);
    expect(inOrder[0]!.from).toBe(0);
    expect(inOrder.at(-1)!.to).toBe(ROWS);
    for (let i = 1; i < inOrder.length; i++) expect(inOrder[i]!.from).toBe(inOrder[i - 1]!.to);
  }
  expect(helper.help()).toBe(false);
});

test('a product too small to share, and any while ranks take turns, is done by its owner at once', () => {
  const { owner, done, control } = twoRanks((other) => void other.help());
  owner.matmulPlain(PLAIN_TYPE.bf16, 0, 0, 0, 64, K, 1);
  Atomics.store(control, WORD.limit, 1);
  owner.matmulPlain(PLAIN_TYPE.bf16, 0, 0, 0, ROWS, K, 1);
  expect(done).toEqual([
    { by: 'owner', from: 0, to: 64 },
    { by: 'owner', from: 0, to: ROWS },
  ]);
});

test('[engines E8] a product that two threads share has the bits of one that its rank does alone', async () => {
  const [x, prepared, y, room, w] = [65_536, 262_144, 524_288, 2 ** 20, 2 ** 21];
  const memory = newMemory(160);
  const kernels = loadKernels(memory);
  const bytes = new Uint8Array(memory.buffer);
  for (let i = w; i < bytes.length; i++) bytes[i] = (i * 2_654_435_761) >>> 24;
  const scales = w + (ROWS * K) / 2;
  const halves = new Uint16Array(memory.buffer, scales);
  for (let i = 0; i < halves.length; i++) halves[i] = 0x3c00 + (i % 77);
  const floats = new Float32Array(memory.buffer);
  const tokens = 2;
  for (let i = 0; i < tokens * K; i++) floats[x / 4 + i] = Math.sin(i);
  kernels.prepare(ACTIVATION.int8, 4, 64, x, tokens, K, prepared);
  const biases = scales + (ROWS * K) / 32;
  kernels.matmul(ACTIVATION.int8, 4, 64, SCALE_TYPE.bf16, w, scales, biases, prepared, y, ROWS, 0, ROWS, K, tokens);
  const result = new Uint32Array(memory.buffer, y, tokens * ROWS);
  const alone = result.slice();

  const { control, products } = exchangeOfTwo();
  const progress = new Int32Array(new SharedArrayBuffer(8));
  const work = createSharedWork({ rank: 0, kernels }, { control, products });
  work.join([{ rank: 1, kernels }]);
  const thread = new Worker(PROGRAM, { workerData: { memory, own: newMemory(1), module: kernelModule(), room, control, products, progress } });
  try {
    await once(thread, 'message');
    // The other thread may not get a core at once.
    for (let product = 0; product < 100 || (Atomics.load(progress, 0) < 50 && product < 20_000); product++) {
      result.fill(0x7fc00000);
      work.matmul(ACTIVATION.int8, 4, 64, SCALE_TYPE.bf16, w, scales, biases, prepared, y, ROWS, K, tokens);
      if (result.some((bits, i) => bits !== alone[i])) throw new Error(`product ${product} has other bits`);
    }
    expect(Atomics.load(progress, 0)).toBeGreaterThanOrEqual(50);
  } finally {
    Atomics.store(progress, 1, 1);
    await thread.terminate();
  }
}, 60_000);
