// Medians with their spread, and measurements that take turns, so that a machine whose speed changes treats all sides alike.

/** One thing measured: side → its values, in the order of the rounds. */
export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly results: Readonly<Record<string, readonly number[]>>;
  /** Whether more is better; ratios are turned so that above 1 is better for the first side. */
  readonly more: boolean;
}

export type Sides = Readonly<Record<string, () => Promise<number>>>;

export function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
}

export async function interleave(
  what: string,
  sides: Sides,
  { rounds, warmUps = 1, unit = 'tokens/s', more = true }: { rounds: number; warmUps?: number; unit?: string; more?: boolean },
): Promise<Row> {
  const results: Record<string, number[]> = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < rounds + warmUps; round++)
    for (const [name, measure] of Object.entries(sides)) {
      const value = await measure();
      if (round >= warmUps) results[name]!.push(value);
    }
  const row = { what, unit, results, more };
  console.error(
    `  ${what}: ${Object.keys(sides)
      .map((name) => `${name} ${figure(median(results[name]!))}`)
      .join(', ')}`,
  );
  return row;
}

/** How many times better the first side is than side `name`. */
export function ratio(row: Row, name: string): number {
  const first = median(Object.values(row.results)[0]!);
  const other = median(row.results[name]!);
  return row.more ? first / other : other / first;
}

export const figure = (value: number): string => value.toFixed(Math.abs(value) < 1 ? 3 : 1);

/** One row of a requirement: what was measured against its bar and its aim (docs/spec/engines.md §7). */
export interface Verdict {
  readonly id: string;
  readonly what: string;
  readonly value: number;
  readonly bar: number;
  readonly aim?: number;
  /** The value must stay below the bar. */
  readonly below?: boolean;
  readonly unit?: string;
}

export const met = ({ value, bar, below }: Verdict): boolean => (below ? value <= bar : value >= bar);

export function resultTable(title: string, rows: readonly Row[]): string[] {
  const lines = [`### ${title}`, '', '| Measured | Side | median (min – max) | ember ÷ side |', '|---|---|---|---|'];
  for (const row of rows) {
    const first = Object.keys(row.results)[0]!;
    for (const [name, list] of Object.entries(row.results))
      lines.push(
        `| ${name === first ? `${row.what}, ${row.unit}` : ''} | ${name} | ${figure(median(list))} (${figure(Math.min(...list))} – ${figure(Math.max(...list))}) | ${name === first ? '' : `${ratio(row, name).toFixed(2)} ×`} |`,
      );
  }
  return [...lines, ''];
}

export function verdictTable(verdicts: readonly Verdict[]): string[] {
  const number = (value: number | undefined, unit = '×') => (value === undefined ? '' : `${value.toFixed(Math.abs(value) >= 100 ? 0 : 2)} ${unit}`);
  return [
    '| Id | Requirement | Measured | Bar | Aim | Met |',
    '|---|---|---|---|---|---|',
    ...verdicts.map(
      (v) =>
        `| ${v.id} | ${v.what} | ${number(v.value, v.unit)} | ${v.below ? '≤' : '≥'} ${number(v.bar, v.unit)} | ${number(v.aim, v.unit)} | ${met(v) ? 'yes' : '**no**'} |`,
    ),
    '',
  ];
}
