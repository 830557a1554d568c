// One memory under both implementations of ember's kernels, random numbers of a seed, and comparison with tolerances.
import { expect } from 'vitest';
import { PLAIN_TYPE } from '../../src/ember/kernel-interface.ts';
import { loadKernels } from '../../src/ember/load-kernels.ts';
import { numberToBfloat16 } from '../../src/ember/reference/bytes.ts';
import { createReferenceKernels } from '../../src/ember/reference/reference-kernels.ts';
import { randomNumbers } from './random-numbers.ts';

const memory = new WebAssembly.Memory({ initial: 512, maximum: 65536, shared: true });
export const wasm = loadKernels(memory);
export const reference = createReferenceKernels(memory.buffer);
export const f32 = new Float32Array(memory.buffer);
export const u32 = new Uint32Array(memory.buffer);
export const u16 = new Uint16Array(memory.buffer);
export const bytes = new Uint8Array(memory.buffer);

/** Random numbers of one seed. */
export function randomOf(seed: number) {
  const next = randomNumbers(seed);
  return {
    next,
    between: (low: number, high: number): number => low + Math.floor(next() * (high - low + 1)),
    pick: <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)]!,
    normal: (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  };
}
export type Random = ReturnType<typeof randomOf>;

let top = 1024;
/** Start of a fresh buffer, filled with NaN patterns so that a kernel that reads what it must not is seen. */
export function take(sizeBytes: number): number {
  const at = top;
  top += Math.ceil(sizeBytes / 16) * 16 + 64;
  bytes.fill(0xff, at, top);
  return at;
}
export const reset = (): void => {
  top = 1024;
};

export function fillFloats(at: number, n: number, value: (i: number) => number): number {
  for (let i = 0; i < n; i++) f32[at / 4 + i] = value(i);
  return at;
}
export const takeFloats = (n: number, value: (i: number) => number): number => fillFloats(take(n * 4), n, value);

/** F16 pattern of a random value of some size, BF16 or F32 likewise. */
export function writePlain(random: Random, type: number, at: number, n: number, size: number): void {
  for (let i = 0; i < n; i++) {
    const value = random.normal() * size;
    if (type === PLAIN_TYPE.f32) f32[at / 4 + i] = value;
    else if (type === PLAIN_TYPE.bf16) u16[at / 2 + i] = numberToBfloat16(value);
    else u16[at / 2 + i] = random.between(0, 1) * 0x8000 + random.between(0, random.next() < 0.1 ? 0x3ff : 0x2fff);
  }
}
export const plainBytes = (type: number, n: number): number => n * (type === PLAIN_TYPE.f32 ? 4 : 2);

/** Clears the signs of n plain values, so that a reference run gives the sum of the sizes of all terms. */
export function clearSigns(type: number, at: number, n: number): void {
  if (type === PLAIN_TYPE.f32) for (let i = 0; i < n; i++) f32[at / 4 + i] = Math.abs(f32[at / 4 + i]!);
  else for (let i = 0; i < n; i++) u16[at / 2 + i]! &= 0x7fff;
}

export function expectClose(actual: number, expected: number, n: number, tolerance: (i: number) => number, label: string): void {
  for (let i = 0; i < n; i++) {
    const a = f32[actual / 4 + i]!;
    const e = f32[expected / 4 + i]!;
    if (!(Math.abs(a - e) <= tolerance(i))) expect.fail(`${label}: value ${i} is ${a}, expected ${e} ± ${tolerance(i)}`);
  }
}
