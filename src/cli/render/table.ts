import { plain } from './plain.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Aligned cells joined by ` | `, a rule below the titles, no trailing blanks. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => plain(cell).replaceAll('\n', ' ')));
  const widths = columns.map((column, i) => Math.max(width(column.title), ...cells.map((row) => width(row[i] ?? ''))));
  const line = (row: readonly string[]) =>
    columns
      .map((column, i) => {
        const cell = row[i] ?? '';
        const room = ' '.repeat(widths[i]! - width(cell));
        return column.align === 'right' ? room + cell : cell + room;
      })
      .join(' | ')
      .trimEnd();
  return [line(columns.map((column) => column.title)), widths.map((n) => '-'.repeat(n)).join('-+-'), ...cells.map(line)].join('\n');
}

/** Code points; wide scripts are rare in model names. */
const width = (text: string): number => [...text].length;
