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

/** What `npm run bench:gateway -- --write` and `-- --real --write` recorded. */
const gateway = readFileSync(join(import.meta.dirname, '../../docs/benchmarks-gateway.md'), 'utf8');
const between = (mark: string): string => gateway.slice(gateway.indexOf(`<!-- ${mark} -->`), gateway.indexOf(`<!-- /${mark} -->`));
const barsOf = (text: string) =>
  [...text.matchAll(/^\| (\w+|–) \| ([^|]+) \| ([\d.]+) \S+ \| ([≥≤]) ([\d.]+) \S+ \|[^|]*\| (yes|\*\*no\*\*) \|$/gm)].map(
    ([, id = '', what = '', measured, sign, bar, verdict]) => ({ id, what, measured: Number(measured), below: sign === '≤', bar: Number(bar), verdict }),
  );

describe('the recorded runs of the gateway', () => {
  const beside = barsOf(between('gateway'));
  const real = barsOf(between('gateway-real'));

  test('say of each bar what its figures say', () => {
    for (const { what, measured, below, bar, verdict } of [...beside, ...real])
      if (measured !== bar) expect([what, verdict === 'yes']).toEqual([what, below ? measured < bar : measured > bar]);
  });

  /** Skipped with what the run missed, or that there is none; else shown by `check`. */
  const shown = (title: string, list: typeof beside, count: number) => {
    const missing = list.length < count ? 'no quiet run is recorded' : '';
    const missedBars = list.filter(({ verdict }) => verdict !== 'yes').map(({ what, measured, bar }) => `${what} ${measured}, bar ${bar}`);
    const reason = missing || missedBars.join('; ');
    test.skipIf(reason !== '')(reason === '' ? title : `${title} (skipped: ${reason})`, () => {
      expect(list.map(({ verdict }) => verdict)).toEqual(Array.from({ length: count }, () => 'yes'));
    });
  };
  const ofId = (wanted: string) => beside.filter(({ id }) => id === wanted);
  shown('[serving V74] the gateway adds at most 5 % to the time to the first token at the median, and 25 % at p99 (P1)', ofId('P1'), 2);
  shown('[serving V75] the event loop is late by less than the 20 ms of the mock, at p99 and the load of P1 (P3)', ofId('P3'), 1);
  shown('six times the requests of litellm for a sixth of what it adds, ready in a second, within 120 MiB', ofId('–'), 5);
  shown(
    'decoding over HTTP keeps 0.95 of the speed of the bare engine',
    real.filter(({ what }) => what.includes('1 stream') && what.includes('bare ember')),
    2,
  );
});

/** What `npm run bench:store -- --write` recorded. */
const wholeStore = readFileSync(join(import.meta.dirname, '../../docs/benchmarks-store.md'), 'utf8');
const store = barsOf(wholeStore.slice(wholeStore.indexOf('<!-- store -->'), wholeStore.indexOf('<!-- /store -->')));

describe('the recorded run of the store', () => {
  test('says of each bar what its figures say', () => {
    for (const { what, measured, below, bar, verdict } of store)
      if (measured !== bar) expect([what, verdict === 'yes']).toEqual([what, below ? measured < bar : measured > bar]);
  });

  /** Skipped with what the run missed, or that there is none. */
  const shown = (title: string, ids: readonly string[], count: number) => {
    const list = store.filter(({ id }) => ids.includes(id));
    const missed = list.filter(({ verdict }) => verdict !== 'yes').map(({ what, measured, bar }) => `${what} ${measured}, bar ${bar}`);
    const reason = list.length < count ? 'no quiet run is recorded' : missed.join('; ');
    test.skipIf(reason !== '')(reason === '' ? title : `${title} (skipped: ${reason})`, () => {
      expect(list.length).toBe(count);
    });
  };
  shown('[formats F38] conversions do 200 MB of input in a second of one thread, with codes of 4 bits', ['F38'], 3);
  shown('version and list start within 1.5 times the time of MLX Knife; 75 models are listed within 1.5 s, the first time too', ['start', 'K17'], 4);
  shown('a pull keeps 0.9 of the speed of curl and sha256sum, hashing 0.8 of that of sha256sum', ['pull', 'hash'], 2);
  shown('verbs, pulls and conversions stay within 250 MB', ['memory'], 8);
});
