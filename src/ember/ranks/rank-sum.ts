import type { Kernels } from '../kernel-interface.ts';
import type { Meeting } from './exchange.ts';
import type { RankStart } from './rank-start.ts';

export interface RankSum {
  /** residual += factor · partial of ranks 0 … participants − 1, in that order on every rank, so that the residuals stay equal bit for bit. */
  addPartials(tokens: number, participants: number, factor: number): void;
  /** partial = the sum of those partials. */
  sumPartials(tokens: number, participants: number): void;
  /** numbers[i] = the sum of all ranks' numbers[i], for `count` of them. */
  addNumbers(numbers: Float32Array, count: number): void;
  /** Fills the residual with one row per token: `own` writes the row if this rank has it, else another rank does. */
  gatherRows(tokens: number, own: (token: number) => boolean): void;
}

/** Sums over ranks through the exchange. Its two halves are used in turn: nobody writes a half that a slow rank may still read. */
export function createRankSum(start: RankStart, meeting: Meeting, kernels: Kernels, floats: Float32Array): RankSum {
  const { ranks, batchTokens, exchange } = start;
  const { rank, buffers } = start.plan;
  const { hidden } = start.model;
  const shared = new Float32Array(exchange.sums);
  const slotFloats = batchTokens * hidden;
  const residual = buffers.residual / 4;
  const incoming = buffers.incoming / 4;
  const partial = buffers.partial / 4;
  let half = 0;
  const slot = (of: number) => (half * ranks + of) * slotFloats;
  const add = (to: number, from: number, count: number, factor: number): void =>
    factor === 1 ? kernels.addInto(to, from, count) : kernels.addScaled(to, from, count, factor);

  return {
    addPartials(tokens, participants, factor) {
      const count = tokens * hidden;
      if (ranks === 1) {
        add(buffers.residual, buffers.partial, count, factor);
        return;
      }
      if (rank < participants) shared.set(floats.subarray(partial, partial + count), slot(rank));
      meeting.barrier();
      for (let other = 0; other < participants; other++) {
        if (other === rank) add(buffers.residual, buffers.partial, count, factor);
        else {
          floats.set(shared.subarray(slot(other), slot(other) + count), incoming);
          add(buffers.residual, buffers.incoming, count, factor);
        }
      }
      half ^= 1;
    },
    sumPartials(tokens, participants) {
      if (ranks === 1) return;
      const count = tokens * hidden;
      if (rank < participants) shared.set(floats.subarray(partial, partial + count), slot(rank));
      meeting.barrier();
      floats.set(shared.subarray(slot(0), slot(0) + count), partial);
      for (let other = 1; other < participants; other++) {
        floats.set(shared.subarray(slot(other), slot(other) + count), incoming);
        kernels.addInto(buffers.partial, buffers.incoming, count);
      }
      half ^= 1;
    },
    addNumbers(numbers, count) {
      if (ranks === 1) return;
      shared.set(numbers.subarray(0, count), slot(rank));
      meeting.barrier();
      for (let i = 0; i < count; i++) {
        let total = 0;
        for (let other = 0; other < ranks; other++) total += shared[slot(other) + i]!;
        numbers[i] = total;
      }
      half ^= 1;
    },
    gatherRows(tokens, own) {
      const mine: boolean[] = [];
      for (let t = 0; t < tokens; t++) mine.push(own(t));
      if (ranks === 1) return;
      for (let t = 0; t < tokens; t++) {
        const row = residual + t * hidden;
        if (mine[t]) shared.set(floats.subarray(row, row + hidden), slot(0) + t * hidden);
      }
      meeting.barrier();
      for (let t = 0; t < tokens; t++) {
        const row = slot(0) + t * hidden;
        if (!mine[t]) floats.set(shared.subarray(row, row + hidden), residual + t * hidden);
      }
      half ^= 1;
    },
  };
}
