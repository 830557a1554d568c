import { createHash } from 'node:crypto';
import { HearthError } from '../../core/index.ts';
import { release } from './release.ts';
import type { TensorReport } from './report.ts';

/** How much of what was written is read again and compared with the source. */
export type VerifyMode = 'none' | 'sample' | 'full';

/** What is told of a tensor's differences. */
export type ToldErrors = Pick<TensorReport, 'inexactElements' | 'maxAbsError'>;

const SAMPLED_ROWS = 64;
const RUN = 8;
/** Few enough that both sides stay in the processor's cache. */
const ELEMENTS = 2 ** 16;

/** Rows that are compared: all, in runs, or first row, last row, and 64 at places that the name decides, in runs of 8. */
export function* comparedRows(mode: 'sample' | 'full', name: string, rows: number, columns: number): Generator<readonly [number, number]> {
  if (mode === 'full') {
    const step = Math.max(1, Math.floor(ELEMENTS / columns));
    for (let from = 0; from < rows; from += step) yield [from, Math.min(rows, from + step)];
    return;
  }
  if (rows <= SAMPLED_ROWS + 2) return yield [0, rows];
  yield [0, 1];
  const hash = createHash('sha256').update(name).digest();
  for (let run = 0; run < SAMPLED_ROWS / RUN; run++) {
    const from = hash.readUInt32LE(4 * run) % (rows - RUN);
    yield [from, from + RUN];
  }
  yield [rows - 1, rows];
}

/** Throws `internal_error` where more differs, or farther, than was told when the numbers were converted; of all rows, exactly as much must. */
export function requireAsTold(name: string, found: ToldErrors, told: ToldErrors, mode: 'sample' | 'full'): void {
  const isSame = found.inexactElements === told.inexactElements && found.maxAbsError === told.maxAbsError;
  if (isSame || (mode === 'sample' && found.inexactElements <= told.inexactElements && found.maxAbsError <= told.maxAbsError)) return;
  throw new HearthError('internal_error', `${name} was not converted as it was counted: ${found.inexactElements} checked numbers differ. Nothing was kept.`);
}

/** The numbers of rows that lie at `places`; those that are near each other are read at once. `read`: rows `[from, to)`. */
export async function gatherRows(places: Uint32Array, columns: number, read: (from: number, to: number) => Promise<Float64Array>): Promise<Float64Array> {
  const out = new Float64Array(places.length * columns);
  const sorted = [...places].map((place, row) => ({ place, row })).sort((a, b) => a.place - b.place);
  for (let first = 0, last = 0; first < sorted.length; first = ++last) {
    // Rows of a head are interleaved: what is next to each other on one side is every second on the other.
    while (last + 1 < sorted.length && sorted[last + 1]!.place - sorted[last]!.place <= 2) last++;
    const from = sorted[first]!.place;
    const values = await read(from, sorted[last]!.place + 1);
    for (const { place, row } of sorted.slice(first, last + 1)) out.set(values.subarray((place - from) * columns, (place - from + 1) * columns), row * columns);
    release(values);
  }
  return out;
}
