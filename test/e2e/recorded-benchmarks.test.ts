import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

/** What `npm run bench:peers -- --write` recorded: a run is measured on a quiet machine, not by this suite. */
const text = readFileSync(join(import.meta.dirname, '../../docs/benchmarks.md'), 'utf8');
const recorded = text.slice(text.indexOf('<!-- peers: begin -->'), text.indexOf('<!-- peers: end -->'));
const rows = [...recorded.matchAll(/^\| (B\d+|–) \| ([^|]+) \| ([\d.]+) [×ms]+ \| ([≥≤]) ([\d.]+) [×ms]+ \|[^|]*\| (yes|\*\*no\*\*) \|$/gm)].map(
  ([, id = '', what = '', measured, sign, bar, verdict]) => ({ id, what, measured: Number(measured), below: sign === '≤', bar: Number(bar), verdict }),
);
const missed = rows.filter(({ verdict }) => verdict !== 'yes');
const of = (list: readonly (typeof rows)[number][]): string => list.map(({ id, what }) => `${id} ${what}`).join('; ');

describe('the recorded run of the benchmarks', () => {
  test('says of each bar what its figures say, and has a row for each requirement', () => {
    expect(new Set(rows.map(({ id }) => id))).toEqual(new Set(['B1', 'B2', 'B3', 'B4', 'B5', 'B7', 'B8', '–']));
    // The lines between the heading and the next one, all read.
    const table = recorded.slice(recorded.indexOf('### Requirements'), recorded.indexOf('### SmolLM2'));
    expect(rows.length).toBe(table.split('\n').filter((line) => line.startsWith('| ')).length - 1);
    // Rounded figures: one at its bar may be either.
    for (const { what, measured, below, bar, verdict } of rows)
      if (measured !== bar) expect([what, verdict === 'yes']).toEqual([what, below ? measured < bar : measured > bar]);
  });

  const title = '[engines E41] meets B1 to B5, B7 and B8, with medians and spread';
  test.skipIf(missed.length > 0)(missed.length > 0 ? `${title} (skipped: the recorded run misses ${of(missed)})` : title, () => {
    expect(missed).toEqual([]);
    expect(recorded).toMatch(/\| decode, 1 stream, tokens\/s \| ember \| [\d.]+ \([\d.]+ – [\d.]+\) \|/);
  });

  const together = rows.filter(({ id, what }) => id === 'B2' && what.includes('streams'));
  const slow = together.filter(({ verdict }) => verdict !== 'yes');
  const titleOfP4 = '[serving V48] eight streams at once give the total throughput of P4: on a CPU, what B2 asks for';
  test.skipIf(slow.length > 0)(slow.length > 0 ? `${titleOfP4} (skipped: the recorded run misses ${of(slow)})` : titleOfP4, () => {
    expect(together.some(({ what }) => what.includes('8 streams'))).toBe(true);
  });
});

/** The table that `bench/store/convert.ts` prints. */
const store = readFileSync(join(import.meta.dirname, '../../docs/benchmarks-store.md'), 'utf8');
const conversions = new Map(
  [...store.matchAll(/^\| (quantise to 4 bits|to GGUF|to MLX) \| 0 \| \d+ MB \| \d+ \| (\d+) \|/gm)].map(([, what = '', rate]) => [what, Number(rate)]),
);
const slower = [...conversions].filter(([, rate]) => rate < 200);

describe('the recorded conversions', () => {
  const title = '[formats F38] do 200 MB of input in a second of one thread, with codes of 4 bits';
  const reason = slower.map(([what, rate]) => `${what} ${rate}`).join('; ');
  test.skipIf(slower.length > 0)(slower.length > 0 ? `${title} (skipped: the recorded run misses ${reason})` : title, () => {
    expect([...conversions.keys()].toSorted()).toEqual(['quantise to 4 bits', 'to GGUF', 'to MLX']);
  });
});
