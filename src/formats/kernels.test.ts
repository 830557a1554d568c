import { expect, test } from 'vitest';
import { createRandom } from '../../test/support/llama-checkpoint.ts';
import { createErrorCounter } from './convert/report.ts';
import { decodeBlocks, encodeQ41, encodeQ51, encodeQ80Codes, ggufTypeByName, quantiseQ80 } from './gguf/index.ts';
import { createFormatKernels, KERNEL_DTYPES, SCALE_FACTS } from './kernels.ts';
import { dequantise, packCodes, unpackCodes } from './mlx/index.ts';
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

/** The bytes of each part, in the kernels' memory, and where they are. */
function place(...parts: readonly Uint8Array[]): { readonly places: readonly number[]; readonly memory: ArrayBuffer } {
  const room = kernels.room(parts.map((part) => part.length));
  parts.forEach((part, i) => {
    new Uint8Array(room.memory, room.places[i], part.length).set(part);
  });
  return room;
}

const bytesOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength).slice();

/** What the kernels counted is what the counter of the reports counts of these numbers. */
function expectCounts(wanted: Float64Array, found: Float64Array): void {
  const counter = createErrorCounter();
  counter.add(wanted, found, 32);
  const { squares, ...counts } = kernels.takeCounts();
  const { rmsError, ...told } = counter.result(wanted.length);
  expect(counts).toEqual(told);
  expect(Math.sqrt(squares / wanted.length)).toBeCloseTo(rmsError, 9);
}

test('[formats F31] [formats F32] codes of every width become the blocks that the plain encoders make, and what differs is counted', () => {
  const random = createRandom(7);
  for (const bits of [2, 3, 4, 5, 6, 8])
    for (const group of [32, 64, 128])
      for (const dtype of ['F32', 'F16', 'BF16'] as const) {
        const groups = 6;
        const codes = Uint8Array.from({ length: groups * group }, () => random() % 2 ** bits);
        const numbers = () =>
          encodeFloats(
            dtype,
            Float32Array.from({ length: groups }, (_, i) => (i === 2 ? 0 : ((random() % 20_001) - 10_000) / 77_777)),
          );
        const [scaleBytes, biasBytes] = [numbers(), numbers()];
        const [scales, biases] = [decodeFloats(dtype, scaleBytes), decodeFloats(dtype, biasBytes)];
        const [d, m] = [scales, biases].map((list) => new Uint16Array(encodeFloats('F16', list).buffer)) as [Uint16Array, Uint16Array];
        const words = packCodes(bits, codes);
        const wanted = dequantise({ mode: 'affine', bits, group }, { words, scales, biases });
        const blocks = codes.length / 32;
        const encode = (blockBytes: number, run: (places: readonly number[], out: number) => void): Uint8Array => {
          const { places, memory } = place(bytesOf(words), scaleBytes, biasBytes, new Uint8Array(blocks * blockBytes));
          run(places, places[3]!);
          return new Uint8Array(memory, places[3], blocks * blockBytes).slice();
        };
        const name = `${bits} bits, group ${group}, ${dtype}`;
        const nearest = encode(34, ([a, b, c], out) => kernels.encodeNearest(a!, bits, b!, c!, KERNEL_DTYPES[dtype], groups, group / 32, out));
        expect([name, nearest]).toEqual([name, quantiseQ80(wanted)]);
        expectCounts(wanted, decodeBlocks('Q8_0', nearest));
        if (bits <= 5) {
          const minimum = encode(bits === 5 ? 24 : 20, ([a, b, c], out) =>
            kernels.encodeMinimum(a!, bits, b!, c!, KERNEL_DTYPES[dtype], groups, group / 32, out),
          );
          expect([name, minimum]).toEqual([name, bits === 5 ? encodeQ51(codes, d, m, group) : encodeQ41(bytesOf(packCodes(4, codes)), d, m, group)]);
          expectCounts(wanted, decodeBlocks(bits === 5 ? 'Q5_1' : 'Q4_1', minimum));
        }
        if (bits === 8) {
          const centred = encode(34, ([a, b], out) => kernels.encodeCentred(a!, b!, KERNEL_DTYPES[dtype], groups, group / 32, out));
          expect([name, centred]).toEqual([name, encodeQ80Codes(codes, d, group)]);
          expectCounts(
            codes.reduce((out, code, i) => out.fill(scales[Math.floor(i / group)]! * (code - 128), i, i + 1), new Float64Array(codes.length)),
            decodeBlocks('Q8_0', centred),
          );
        }
      }
});

test('a scale that is no number, and one whose step fp16 cannot hold, are refused', () => {
  for (const scale of [Number.NaN, Number.POSITIVE_INFINITY, 60_000]) {
    const scales = encodeFloats('F16', Float32Array.of(scale));
    const { places } = place(new Uint8Array(32).fill(255), scales, scales, new Uint8Array(34));
    const [codes, scaleAt, biasAt, out] = places as [number, number, number, number];
    expect(kernels.encodeNearest(codes, 8, scaleAt, biasAt, KERNEL_DTYPES.F16, 1, 1, out)).toBe(0);
  }
});

test.each(['Q2_K', 'Q3_K', 'Q6_K'] as const)('%s: groups of 32 are spread over 255 equal steps, and what differs is counted', (name) => {
  const random = createRandom(11);
  const { bytes: stride, id } = ggufTypeByName(name);
  const count = 12;
  const blocks = Uint8Array.from({ length: count * stride }, () => random());
  // fp16 numbers that are finite, both zeros among them; in one block every factor is 0.
  const halves = { Q2_K: [80, 82], Q3_K: [108], Q6_K: [208] }[name];
  for (let block = 0; block < count; block++)
    for (const at of halves)
      blocks.set(block === 0 ? [0, 0] : block === 1 ? [0, 128] : [random() % 256, [0x1c, 0x9c, 0, 0x24][block % 4]!], block * stride + at);
  // Steps of −0.03 below a minimum of −982,560, which float32 tells to 1/16: the bias lies above numbers, whose codes are clamped.
  if (name === 'Q2_K') {
    for (let k = 0; k < 16; k++) blocks[2 * stride + k] = 0xf0 | k;
    blocks.set([0xae, 0xa7, 0xff, 0x7b], 2 * stride + 80);
  }
  const numbers = decodeBlocks(name, blocks);
  const scales = new Float32Array(count * 8);
  const biases = new Float32Array(count * 8);
  const codes = new Uint8Array(numbers.length);
  for (let g = 0; g < scales.length; g++) {
    const group = numbers.subarray(32 * g, 32 * g + 32);
    const least = group.reduce((a, b) => (b < a ? b : a));
    biases[g] = least;
    scales[g] = (group.reduce((a, b) => (b > a ? b : a)) - biases[g]!) / 255;
    for (let i = 0; i < 32; i++) codes[32 * g + i] = scales[g] === 0 ? 0 : Math.min(255, Math.max(0, Math.round((group[i]! - biases[g]!) / scales[g]!)));
  }
  const { places, memory } = place(blocks, bytesOf(codes).fill(0), bytesOf(scales).fill(0), bytesOf(biases).fill(0));
  const [from, codesAt, scalesAt, biasesAt] = places as [number, number, number, number];
  expect(kernels.spreadNumbers(id, from, stride, false, count, scalesAt)).toBe(1);
  expect(kernels.spreadNumbers(id, from, stride, true, count, biasesAt)).toBe(1);
  expect(new Float32Array(memory, scalesAt, scales.length)).toEqual(scales);
  expect(new Float32Array(memory, biasesAt, biases.length)).toEqual(biases);
  expect(kernels.spreadCodes(id, from, stride, count, codesAt)).toBe(1);
  expect(new Uint8Array(memory, codesAt, codes.length)).toEqual(codes);
  expectCounts(numbers, dequantise({ mode: 'affine', bits: 8, group: 32 }, { words: packCodes(8, codes), scales, biases }));
  new Uint8Array(memory).set([0, 0x7c], from + halves[0]!);
  expect(kernels.spreadCodes(id, from, stride, count, codesAt)).toBe(0);
});

test.each(['Q4_K', 'Q5_K'] as const)('%s: the codes and numbers of its sub-blocks stand for the numbers of the block', (name) => {
  const random = createRandom(13);
  const stride = ggufTypeByName(name).bytes;
  const count = 5;
  const bits = name === 'Q4_K' ? 4 : 5;
  const blocks = Uint8Array.from({ length: count * stride }, () => random());
  for (let block = 0; block < count; block++) blocks.set([random() % 256, 0x24, random() % 256, 0xa4], block * stride);
  const { places, memory } = place(blocks, new Uint8Array(count * 32 * bits), new Uint8Array(count * 32), new Uint8Array(count * 32));
  const [from, codes, scales, biases] = places as [number, number, number, number];
  kernels.subBlockCodes(from, stride, bits === 4 ? 16 : 48, bits === 4 ? 0 : 16, count, codes);
  expect(kernels.subBlockNumbers(from, stride, 0, false, count, scales)).toBe(1);
  expect(kernels.subBlockNumbers(from, stride, 2, true, count, biases)).toBe(1);
  const words = new Uint32Array(memory, codes, count * 8 * bits);
  expect(unpackCodes(bits, words)).toHaveLength(count * 256);
  const sides = { scales: new Float32Array(memory, scales, count * 8), biases: new Float32Array(memory, biases, count * 8) };
  expect(dequantise({ mode: 'affine', bits, group: 32 }, { words, ...sides })).toEqual(decodeBlocks(name, blocks));
});
