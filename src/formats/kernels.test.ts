import { expect, test } from 'vitest';
import { createFormatKernels, KERNEL_DTYPES, SCALE_FACTS } from './kernels.ts';
import { decodeFloats, encodeFloats, type FloatDtype } from './safetensors/index.ts';

const kernels = createFormatKernels();

function look(dtype: FloatDtype, scales: Uint8Array, biases: Uint8Array): { readonly facts: number; readonly subnormal: number } {
  const { places, memory } = kernels.room([scales.length, biases.length]);
  new Uint8Array(memory, places[0], scales.length).set(scales);
  new Uint8Array(memory, places[1], biases.length).set(biases);
  const found = kernels.lookAtScales(places[0]!, places[1]!, KERNEL_DTYPES[dtype], scales.length / (dtype === 'F32' ? 4 : 2));
  // Nothing else counts of what is not finite.
  return (found & SCALE_FACTS.notFinite) !== 0 ? { facts: SCALE_FACTS.notFinite, subnormal: 0 } : { facts: found & 15, subnormal: found >>> 4 };
}

/** The same by the codecs of safetensors, one group. */
function expected(scale: number, bias: number): { readonly facts: number; readonly subnormal: number } {
  const isHalf = (x: number): boolean => decodeFloats('F16', encodeFloats('F16', Float32Array.of(x)))[0] === x;
  const both = [scale, bias];
  if (!both.every(Number.isFinite)) return { facts: SCALE_FACTS.notFinite, subnormal: 0 };
  const beyond = both.some((x) => Math.abs(x) > 65_504);
  const facts =
    (beyond ? SCALE_FACTS.beyondHalf : 0) | (bias === -128 * scale ? 0 : SCALE_FACTS.notCentred) | (!both.every(isHalf) ? SCALE_FACTS.notHalves : 0);
  return { facts, subnormal: Number(both.some((x) => x !== 0 && Math.abs(x) < 2 ** -14)) };
}

test('what the kernel says of a scale and a bias is what the float codecs say, at every border', () => {
  const borders = [
    0,
    -0,
    2 ** -24,
    3 * 2 ** -25,
    2 ** -14,
    2 ** -14 - 2 ** -24,
    2 ** -30,
    1,
    1 + 2 ** -10,
    1 + 2 ** -11,
    0.1,
    65_504,
    65_519,
    65_520,
    65_536,
    1e38,
  ];
  const numbers = [...borders.flatMap((x) => [x, -x]), -128, -64, Number.POSITIVE_INFINITY, Number.NaN];
  for (const dtype of ['F32', 'F16', 'BF16'] as const)
    for (const one of numbers)
      for (const other of numbers) {
        const [scales, biases] = [encodeFloats(dtype, Float32Array.of(one)), encodeFloats(dtype, Float32Array.of(other))];
        const [scale, bias] = [decodeFloats(dtype, scales)[0]!, decodeFloats(dtype, biases)[0]!];
        expect([dtype, scale, bias, look(dtype, scales, biases)]).toEqual([dtype, scale, bias, expected(scale, bias)]);
      }
});
