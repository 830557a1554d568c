import { HearthError } from '../../core/index.ts';
import { PLAIN_TYPE } from '../kernel-interface.ts';
import type { RankPlan, ReadPiece } from './rank-plan.ts';

/** Puts a tensor together again from the slices of all ranks; values that were widened are narrowed, which is exact. */
export async function gatherTensor(
  plans: readonly RankPlan[],
  name: string,
  peek: (rank: number, offset: number, bytes: number) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const pieces = plans.flatMap((plan) => plan.reads.filter((read) => read.tensor === name).map((read) => ({ rank: plan.rank, read })));
  if (pieces.length === 0) throw new HearthError('invalid_value', `No rank holds the tensor ${name}.`);
  const { rowBytes, plus } = pieces[0]!.read;
  if (plus !== 0) throw new HearthError('invalid_value', `The ranks hold ${name} with ${plus} added to it, not its bytes.`);
  const tensor = new Uint8Array(Math.max(...pieces.map(({ read }) => read.firstRow + read.rows)) * rowBytes);
  for (const { rank, read } of pieces) {
    const held = await peek(rank, read.destination, read.rows * (read.widen === null ? read.bytes : 4));
    const bytes = read.widen === null ? held : narrow(held, read);
    for (let row = 0; row < read.rows; row++)
      tensor.set(bytes.subarray(row * read.bytes, (row + 1) * read.bytes), (read.firstRow + row) * rowBytes + read.firstByte);
  }
  return tensor;
}

function narrow(held: Uint8Array, read: ReadPiece): Uint8Array {
  if (read.widen === PLAIN_TYPE.f32) return held;
  const words = new Uint32Array(held.buffer, held.byteOffset, read.rows);
  return new Uint8Array(Uint16Array.from(words, read.widen === PLAIN_TYPE.bf16 ? (word) => word >>> 16 : halfOf).buffer);
}

/** F16 bits of an f32 that was widened from F16. */
function halfOf(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const exponent = ((word >>> 23) & 0xff) - 112;
  const fraction = (word >>> 13) & 0x3ff;
  if (((word >>> 23) & 0xff) === 0xff) return sign | 0x7c00 | fraction;
  if (exponent > 0) return sign | (exponent << 10) | fraction;
  return (word & 0x7fffffff) === 0 ? sign : sign | ((((word & 0x7fffff) | 0x800000) >>> (14 - exponent)) & 0x3ff);
}
