import type { Kernels } from '../kernel-interface.ts';
import type { RopePlacement } from '../load/rank-plan.ts';
import type { Rope } from '../models/model-graph.ts';
import { HEADER, RECORD } from './step-words.ts';

export interface Rotation {
  /** Cosines and sines of all tokens of the step, for each rope. */
  fill(sequences: number): void;
  /** Rotates x [tokens, heads, headDim] in place, rows `stride` values apart. */
  rotate(rope: number, x: number, tokens: number, heads: number, headDim: number, stride: number): void;
  /** The tables of a rope, with their widths. */
  tables(rope: number | null): readonly { readonly buffer: number; readonly width: number }[];
}

export function createRotation(ropes: readonly Rope[], places: readonly RopePlacement[], kernels: Kernels, floats: Float32Array, step: Int32Array): Rotation {
  const all = ropes.map((rope, i) => ({ ...rope, ...places[i]!, pairs: rope.inverseFrequencies.length, neighbours: rope.traditional ? 1 : 0 }));
  return {
    fill(sequences) {
      for (const { inverseFrequencies, magnitude, growth, cosines, sines, pairs } of all) {
        let at = 0;
        for (let s = 0; s < sequences; s++) {
          const record = HEADER.words + s * RECORD.words;
          const first = step[record + RECORD.position]!;
          const end = first + step[record + RECORD.tokens]!;
          for (let position = first; position < end; position++) {
            const size = growth ? magnitude * (1 + growth.beta * Math.log(1 + Math.floor(position / growth.period))) : magnitude;
            for (let i = 0; i < pairs; i++, at++) {
              const angle = Math.fround(position * inverseFrequencies[i]!);
              floats[cosines / 4 + at] = Math.cos(angle) * size;
              floats[sines / 4 + at] = Math.sin(angle) * size;
            }
          }
        }
      }
    },
    rotate(rope, x, tokens, heads, headDim, stride) {
      const { pairs, cosines, sines, neighbours } = all[rope]!;
      kernels.rope(x, tokens, heads, headDim, pairs * 2, stride, cosines, sines, neighbours);
    },
    tables(rope) {
      if (rope === null) return [];
      const { pairs, cosines, sines } = all[rope]!;
      return [cosines, sines].map((buffer) => ({ buffer, width: pairs }));
    },
  };
}
