import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What became of a model's numbers on their way into the checkpoint of this directory; undefined where nothing was converted. */
export async function weightsNote(directory: string): Promise<string | undefined> {
  const text = await readFile(join(directory, 'conversion.json'), 'utf8').catch(() => null);
  if (text === null) return undefined;
  try {
    return describe(JSON.parse(text) as Report);
  } catch {
    return undefined;
  }
}

/** The parts of both kinds of conversion.json that say something of the numbers. */
interface Report {
  readonly quantised?: { readonly bits: number; readonly group: number; readonly modules: number } | null;
  readonly verdict?: 'exact' | 'bounded';
  readonly totals?: { readonly inexactElements: number; readonly elements: number; readonly maxAbsError: number };
}

function describe({ quantised, verdict, totals }: Report): string | undefined {
  if (quantised) return `quantised to ${quantised.bits} bits in groups of ${quantised.group} before the load`;
  if (verdict === 'exact') return 'converted losslessly';
  if (verdict !== 'bounded' || totals === undefined) return undefined;
  return `converted, bounded: ${totals.inexactElements} of ${totals.elements} elements differ, largest error ${totals.maxAbsError.toPrecision(3)}`;
}
