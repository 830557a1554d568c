// MB of source per second of processor time, one thread, of what converts weights: medians, steady on a busy machine too.
//   node bench/formats.ts
import { decodeBlocks, encodeQ41, type GgufTypeName, ggufTypeByName, quantiseQ80 } from '../src/formats/gguf/index.ts';
import { packCodes, type Quantization, quantiseWords } from '../src/formats/mlx/index.ts';
import { decodeFloats, encodeFloats } from '../src/formats/safetensors/index.ts';

const COUNT = 2 ** 21;
const ROUNDS = 15;

const values = Float32Array.from({ length: COUNT }, (_, i) => Math.sin(i * 0.7) * Math.cos(i * 0.013) * 0.05);
const bf16 = encodeFloats('BF16', values);
const codes = Uint8Array.from({ length: COUNT / 2 }, (_, i) => (i * 37) & 255);
const halves = new Uint16Array(COUNT / 64).fill(0x2c00);
const blocks = (type: GgufTypeName): Uint8Array => new Uint8Array((COUNT / ggufTypeByName(type).elements) * ggufTypeByName(type).bytes).fill(0x21);
const affine = (bits: number): Quantization => ({ mode: 'affine', bits, group: 64 });

interface Job {
  readonly name: string;
  readonly sourceBytes: number;
  readonly run: () => unknown;
}

const quantising = (bits: number): Job => ({
  name: `quantise BF16 to ${bits} bits, group 64`,
  sourceBytes: bf16.length,
  run: () => quantiseWords(affine(bits), decodeFloats('BF16', bf16), 'BF16'),
});
const decoding = (type: GgufTypeName): Job => {
  const bytes = blocks(type);
  return { name: `decode ${type}`, sourceBytes: bytes.length, run: () => decodeBlocks(type, bytes) };
};
const jobs: readonly Job[] = [
  quantising(4),
  quantising(8),
  { name: 'MLX 4 bits, group 64, to Q4_1', sourceBytes: codes.length + halves.length, run: () => encodeQ41(codes, halves, halves, 64) },
  { name: 'numbers to Q8_0', sourceBytes: 4 * COUNT, run: () => quantiseQ80(values) },
  { name: 'pack 5 bits', sourceBytes: COUNT, run: () => packCodes(5, new Uint8Array(COUNT)) },
  decoding('Q4_K'),
  decoding('Q6_K'),
];

const rates = new Map<string, number[]>(jobs.map(({ name }) => [name, []]));
for (let round = 0; round < ROUNDS; round++)
  for (const { name, sourceBytes, run } of jobs) {
    const before = process.threadCpuUsage();
    run();
    const used = process.threadCpuUsage(before);
    rates.get(name)!.push(sourceBytes / (used.user + used.system));
  }
for (const [name, found] of rates) {
  const sorted = found.toSorted((a, b) => a - b);
  process.stdout.write(`${name.padEnd(40)} ${sorted[Math.floor(ROUNDS / 2)]!.toFixed(0).padStart(6)} MB/s (best ${sorted.at(-1)!.toFixed(0)})\n`);
}
