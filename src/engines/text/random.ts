/** A stream of uniform numbers in [0, 1). */
export interface RandomStream {
  next(): number;
}

/**
 * The random stream of one choice: xoshiro128++ (Blackman and Vigna), its state filled by splitmix32 from the seed's 64 bits and the choice.
 * Equal (seed, choice) give equal streams, on every machine.
 */
export function createRandomStream(seed: number, choice: number): RandomStream {
  const words = new Uint32Array(new Float64Array([seed]).buffer);
  let mixed = 0;
  for (const word of [words[0]!, words[1]!, choice]) mixed = splitmix(mixed ^ word);
  const s = new Uint32Array(4);
  for (let i = 0; i < 4; i++) {
    mixed = (mixed + 0x9e3779b9) >>> 0;
    s[i] = splitmix(mixed);
  }
  if (s.every((word) => word === 0)) s[0] = 1;
  const word = (): number => {
    const result = (rotate((s[0]! + s[3]!) >>> 0, 7) + s[0]!) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = rotate(s[3]!, 11);
    return result;
  };
  return { next: () => ((word() >>> 5) * 0x4000000 + (word() >>> 6)) / 0x20000000000000 };
}

const rotate = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0;

function splitmix(x: number): number {
  let z = x >>> 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}
