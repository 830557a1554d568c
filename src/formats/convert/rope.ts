/** Settings of the llama3 stretching of rotations. */
export interface Llama3Rope {
  readonly factor: number;
  readonly low: number;
  readonly high: number;
  readonly original: number;
}

/** Divisor of each frequency, as `rope_freqs.weight` holds them (docs/spec/formats.md §7.2). `count` = half of the head. */
export function llama3Divisors(rope: Llama3Rope, base: number, count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    const wave = 2 * Math.PI * base ** (i / count);
    if (wave < rope.original / rope.high) return 1;
    if (wave > rope.original / rope.low) return rope.factor;
    const t = (rope.original / wave - rope.low) / (rope.high - rope.low);
    return 1 / ((1 - t) / rope.factor + t);
  });
}

/** Key in which hearth's own exports say the settings; GGUF itself keeps only the divisors. */
export const LLAMA3_KEY = 'hearth.rope_llama3';

/** The settings of published models, which are found again from their divisors. */
const PUBLISHED: readonly Llama3Rope[] = [8, 16, 32].map((factor) => ({ factor, low: 1, high: 4, original: 8192 }));

/** The settings that give these divisors, or undefined. `said`: the value of LLAMA3_KEY, believed only if it gives them. */
export function recogniseLlama3(divisors: ArrayLike<number>, base: number, said: string | undefined): Llama3Rope | undefined {
  const [factor, low, high, original] = said?.split(' ').map(Number) ?? [];
  const own = factor && low && high && original ? [{ factor, low, high, original }] : [];
  return [...own, ...PUBLISHED].find((rope) => {
    const expected = llama3Divisors(rope, base, divisors.length);
    return expected.every((value, i) => Math.abs(value - divisors[i]!) <= 1e-4 * value);
  });
}

export const describeLlama3 = (rope: Llama3Rope): string => [rope.factor, rope.low, rope.high, rope.original].join(' ');
