import { expect, test } from 'vitest';
import { FAMILIES, permutedHeads, rowOrder, toGgufModule, toMlxModule } from './names.ts';
import { describeLlama3, llama3Divisors, recogniseLlama3 } from './rope.ts';

const llama = FAMILIES.find((family) => family.architecture === 'llama')!;
const qwen3 = FAMILIES.find((family) => family.architecture === 'qwen3')!;

test('[formats F25] 8 rows of 2 heads go into the order of the golden vector', () => {
  expect([...rowOrder(8, 2)]).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
});

test('names are found in both directions, and foreign ones in neither', () => {
  for (const module of [
    'model.embed_tokens',
    'model.norm',
    'lm_head',
    'model.layers.7.self_attn.q_proj',
    'model.layers.0.mlp.down_proj',
    'model.layers.12.post_attention_layernorm',
  ]) {
    expect(toMlxModule(llama, toGgufModule(llama, module)!)).toBe(module);
  }
  expect(toGgufModule(qwen3, 'model.layers.1.self_attn.q_norm')).toBe('blk.1.attn_q_norm');
  expect(toGgufModule(llama, 'model.layers.1.self_attn.q_norm')).toBeUndefined();
  expect(toGgufModule(llama, 'model.layers.1.mlp.gate')).toBeUndefined();
  expect(toMlxModule(llama, 'blk.1.ffn_gate_inp')).toBeUndefined();
  expect(toMlxModule(llama, 'blk.x.attn_q')).toBeUndefined();
});

test('only the q and k rows of llama are permuted, k with its own number of heads', () => {
  const heads = { query: 9, key: 3 };
  expect(permutedHeads(llama, 'model.layers.0.self_attn.q_proj', heads)).toBe(9);
  expect(permutedHeads(llama, 'model.layers.0.self_attn.k_proj', heads)).toBe(3);
  expect(permutedHeads(llama, 'model.layers.0.self_attn.v_proj', heads)).toBe(0);
  expect(permutedHeads(qwen3, 'model.layers.0.self_attn.q_proj', heads)).toBe(0);
});

test('[formats F27] rope_freqs equal the formula for a llama3 config', () => {
  const rope = { factor: 8, low: 1, high: 4, original: 8192 };
  const divisors = llama3Divisors(rope, 500_000, 64);
  for (const [i, divisor] of divisors.entries()) {
    const frequency = 500_000 ** ((-2 * i) / 128);
    const length = (2 * Math.PI) / frequency;
    const t = (8192 / length - 1) / (4 - 1);
    const expected = length < 8192 / 4 ? 1 : length > 8192 ? 8 : 1 / ((1 - t) / 8 + t);
    expect(divisor).toBeCloseTo(expected, 5);
  }
  expect(divisors[0]).toBe(1);
  expect(divisors[63]).toBe(8);
  expect([...divisors].some((divisor) => divisor > 1 && divisor < 8)).toBe(true);
});

test('settings of llama3 are found again from divisors, and unknown divisors are not guessed', () => {
  const rope = { factor: 32, low: 1, high: 4, original: 8192 };
  expect(recogniseLlama3(llama3Divisors(rope, 500_000, 32), 500_000, undefined)).toEqual(rope);
  const own = { factor: 8, low: 1, high: 4, original: 64 };
  const divisors = llama3Divisors(own, 10_000, 32);
  expect(recogniseLlama3(divisors, 10_000, undefined)).toBeUndefined();
  expect(recogniseLlama3(divisors, 10_000, describeLlama3(own))).toEqual(own);
  expect(recogniseLlama3(divisors, 10_000, describeLlama3(rope))).toBeUndefined();
});
