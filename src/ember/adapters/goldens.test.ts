import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readAdapter } from '../../formats/index.ts';
import { loadEmber } from '../load/load-ember.ts';
import { supportedModelTypes } from '../models/architectures.ts';
import type { ActivationPath, Ember, PageTables, StepSequence } from '../types.ts';

const REFERENCE = join(import.meta.dirname, '../../../test/reference');
const ADAPTERS = join(REFERENCE, 'adapters');
/** Of the logits' range. */
const TOLERANCE = 1e-3;

interface Golden {
  readonly name: string;
  readonly base: string;
  readonly prompt: readonly number[];
  readonly greedy: readonly number[];
  readonly span: number;
  /** Rows [prompt, vocabulary]: with the adapter, fused, with half its scale, and without it. */
  rows(file: 'expected-logits' | 'fused-logits' | 'half-logits' | 'base'): Float32Array;
}

function readGolden(name: string): Golden {
  const folder = join(ADAPTERS, name);
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Omit<Golden, 'name' | 'rows'>;
  const floats = (file: string): Float32Array => new Float32Array(Uint8Array.from(readFileSync(file)).buffer);
  return {
    ...expected,
    name,
    rows: (file) => floats(file === 'base' ? join(REFERENCE, 'goldens', expected.base, 'expected-logits.bin') : join(folder, `${file}.bin`)),
  };
}

const typeOf = (base: string): string =>
  (JSON.parse(readFileSync(join(REFERENCE, 'goldens', base, 'config.json'), 'utf8')) as { model_type: string }).model_type;
const goldens = readdirSync(ADAPTERS)
  .map(readGolden)
  .filter(({ base }) => supportedModelTypes().includes(typeOf(base)));

const load = (base: string, ranks: number, activations: ActivationPath = 'f32'): Promise<Ember> =>
  loadEmber({ directory: join(REFERENCE, 'goldens', base), ranks, activations, kvType: 'f32', contextTokens: 512, batchTokens: 160 });
const common = { temperature: 0, adjustments: [], candidates: 1 } as const;
/** Pages of the n-th of several sequences of up to 64 tokens. */
const pagesOf = (n: number): PageTables => [Uint32Array.of(2 * n, 2 * n + 1)];
const whole = (golden: Golden, n: number, adapter?: StepSequence['adapter']): StepSequence => ({
  ...common,
  pages: pagesOf(n),
  position: 0,
  tokens: golden.prompt,
  output: 'all',
  ...(adapter ? { adapter } : {}),
});

/** Logits of some rows of the last step. */
async function rowsFrom(ember: Ember, first: number, count: number): Promise<Float32Array> {
  const rows = new Float32Array(count * ember.vocabularySize);
  for (let i = 0; i < count; i++) rows.set(await ember.logits(first + i), i * ember.vocabularySize);
  return rows;
}

const largest = (x: Float32Array, y: Float32Array): number => {
  expect(x.length).toBe(y.length);
  return x.reduce((most, value, i) => Math.max(most, Math.abs(value - y[i]!)), 0);
};

async function stepOf(ember: Ember, sequence: StepSequence): Promise<Float32Array> {
  await ember.step([sequence]);
  return rowsFrom(ember, 0, sequence.tokens.length);
}

describe.each(goldens.map((golden) => [golden.name, golden] as const))('%s', (name, golden) => {
  const forms = ['mlx', 'peft'].filter((form) => existsSync(join(ADAPTERS, name, form)));

  it.each([1, 2, 3])(
    "[engines E29] [agents-training A30] on gives the reference's logits and those of the fused model, off those of the base, on %i ranks",
    async (ranks) => {
      await using ember = await load(golden.base, ranks);
      for (const [slot, form] of forms.entries()) await ember.loadAdapter(slot, await readAdapter(join(ADAPTERS, name, form)));
      for (const slot of forms.keys()) {
        const on = await stepOf(ember, whole(golden, 0, { slot, scale: 1 }));
        expect(largest(on, golden.rows('expected-logits')) / golden.span).toBeLessThan(TOLERANCE);
        expect(largest(on, golden.rows('fused-logits')) / golden.span).toBeLessThan(TOLERANCE);
        const half = await stepOf(ember, whole(golden, 0, { slot, scale: 0.5 }));
        expect(largest(half, golden.rows('half-logits')) / golden.span).toBeLessThan(TOLERANCE);
        const off = await stepOf(ember, whole(golden, 0));
        expect(largest(off, golden.rows('base')) / golden.span).toBeLessThan(TOLERANCE);
        expect(largest(on, off) / golden.span).toBeGreaterThan(100 * TOLERANCE);
      }
    },
  );

  it('its greedy tokens, one a step, are those of the reference', async () => {
    await using ember = await load(golden.base, 2);
    await ember.loadAdapter(7, await readAdapter(join(ADAPTERS, name, 'mlx')));
    const tokens = [...golden.prompt];
    for (let position = 0; tokens.length < golden.prompt.length + golden.greedy.length; ) {
      const own = tokens.slice(position);
      const [output] = await ember.step([{ ...common, pages: pagesOf(0), position, tokens: own, output: 'last', adapter: { slot: 7, scale: 1 } }]);
      position += own.length;
      tokens.push(output!.ids[0]!);
    }
    expect(tokens.slice(golden.prompt.length)).toEqual(golden.greedy);
  });
});

describe('adapters in one batch', () => {
  const shared = goldens.filter(({ base }) => base === 'llama-q4-g64');

  it.each([1, 2])('[engines E29] five adapters, one of them DoRA, and the bare base share a step on %i ranks, the base loaded once', async (ranks) => {
    expect(shared.map(({ name }) => name)).toContain('llama-q4-dora');
    await using ember = await load('llama-q4-g64', ranks);
    const weightsBytes = ember.memory.weightsBytes;
    for (const [slot, { name }] of shared.entries()) await ember.loadAdapter(slot, await readAdapter(join(ADAPTERS, name, 'mlx')));
    const sequences = [...shared.map((golden, slot) => whole(golden, slot, { slot, scale: 1 })), whole(shared[0]!, shared.length)];
    await ember.step(sequences);
    let first = 0;
    for (const golden of shared) {
      expect(largest(await rowsFrom(ember, first, golden.prompt.length), golden.rows('fused-logits')) / golden.span).toBeLessThan(TOLERANCE);
      first += golden.prompt.length;
    }
    expect(largest(await rowsFrom(ember, first, shared[0]!.prompt.length), shared[0]!.rows('base')) / shared[0]!.span).toBeLessThan(TOLERANCE);
    expect(ember.memory.weightsBytes).toBe(weightsBytes);
    await using bare = await load('llama-q4-g64', ranks);
    expect([bare.memory.weightsBytes, bare.adapterBytes]).toEqual([weightsBytes, 0]);
    expect(ember.adapterBytes).toBeGreaterThan(0);
  });

  it('int8 and int16 activations are for the base alone: an adapter is as near to the reference as the base is', async () => {
    for (const activations of ['mixed', 'int8', 'int16'] as const) {
      await using ember = await load('llama-q4-g64', 2, activations);
      for (const [slot, golden] of shared.entries()) {
        await ember.loadAdapter(slot, await readAdapter(join(ADAPTERS, golden.name, 'mlx')));
        const off = largest(await stepOf(ember, whole(golden, 0)), golden.rows('base')) / golden.span;
        const on = largest(await stepOf(ember, whole(golden, 0, { slot, scale: 1 })), golden.rows('expected-logits')) / golden.span;
        expect([activations, golden.name, on < 0.01 + 3 * off]).toEqual([activations, golden.name, true]);
        expect(on).toBeLessThan(0.06);
      }
    }
  });

  it('two scales of one adapter, and prefill beside decode, share a step', async () => {
    const golden = shared.find(({ name }) => name === 'llama-q4-dora')!;
    const { prompt, span } = golden;
    await using ember = await load('llama-q4-g64', 2);
    await ember.loadAdapter(0, await readAdapter(join(ADAPTERS, golden.name, 'mlx')));
    const start = prompt.length - 1;
    await ember.step([{ ...whole(golden, 0, { slot: 0, scale: 1 }), tokens: prompt.slice(0, start), output: 'none' }]);
    await ember.step([
      { ...common, pages: pagesOf(0), position: start, tokens: prompt.slice(start), output: 'last', adapter: { slot: 0, scale: 1 } },
      { ...whole(golden, 1, { slot: 0, scale: 0.5 }), output: 'last' },
      { ...whole(golden, 2), output: 'last' },
      { ...whole(golden, 3, { slot: 0, scale: 1 }), output: 'none' },
    ]);
    const last = (rows: Float32Array): Float32Array => rows.slice(start * ember.vocabularySize);
    const wanted = ['expected-logits', 'half-logits', 'base'] as const;
    for (const [i, file] of wanted.entries()) expect(largest(await ember.logits(i), last(golden.rows(file))) / span).toBeLessThan(TOLERANCE);
  });

  it('slots are emptied and filled again while steps run, and the others stay as they are', async () => {
    const [first, second] = [shared[0]!, shared[1]!];
    await using ember = await load('llama-q4-g64', 2);
    const read = (golden: Golden) => readAdapter(join(ADAPTERS, golden.name, 'mlx'));
    await ember.loadAdapter(0, await read(first));
    const used = ember.adapterBytes;
    const check = async (slot: number, golden: Golden): Promise<void> =>
      expect(largest(await stepOf(ember, whole(golden, slot, { slot, scale: 1 })), golden.rows('expected-logits')) / golden.span).toBeLessThan(TOLERANCE);
    for (let round = 0; round < 3; round++) {
      const loading = ember.loadAdapter(1, await read(second));
      await check(0, first);
      await loading;
      await check(1, second);
      await check(0, first);
      await ember.dropAdapter(1);
      expect(ember.adapterBytes).toBe(used);
      await expect(ember.step([whole(second, 1, { slot: 1, scale: 1 })])).rejects.toMatchObject({ code: 'invalid_value' });
    }
    await expect(ember.step([whole(first, 0, { slot: 0, scale: 2.5 })])).rejects.toMatchObject({ code: 'invalid_value' });
    await expect(ember.loadAdapter(0, await read(second))).rejects.toMatchObject({ code: 'invalid_value' });
    await check(0, first);
  });
});
