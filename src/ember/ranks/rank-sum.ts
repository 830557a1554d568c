import type { Kernels } from '../kernel-interface.ts';
import type { Meeting } from './exchange.ts';
import type { RankStart } from './rank-start.ts';

export interface RankSum {
  /** residual += partial of ranks 0 … participants − 1, in that order on every rank, so that the residuals stay equal bit for bit. */
  addPartials(tokens: number, participants: number): void;
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

  return {
    addPartials(tokens, participants) {
      const count = tokens * hidden;
      if (ranks === 1) {
        kernels.addInto(buffers.residual, buffers.partial, count);
        return;
      }
      if (rank < participants) shared.set(floats.subarray(partial, partial + count), slot(rank));
      meeting.barrier();
      for (let other = 0; other < participants; other++) {
        if (other === rank) kernels.addInto(buffers.residual, buffers.partial, count);
        else {
          floats.set(shared.subarray(slot(other), slot(other) + count), incoming);
          kernels.addInto(buffers.residual, buffers.incoming, count);
        }
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
