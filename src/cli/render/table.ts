import { plain } from './plain.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Aligned cells joined by ` | `, a rule below the titles, no trailing blanks. `wrap` breaks one column's long cells at words into further lines. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], wrap?: { readonly column: number; readonly width: number }): string {
  const cells = rows.flatMap((row) => {
    const clean = row.map((cell) => plain(cell).replaceAll('\n', ' '));
    if (wrap === undefined) return [clean];
    const pieces = wrapWords(clean[wrap.column] ?? '', wrap.width);
    return pieces.map((piece, line) => clean.map((cell, i) => (i === wrap.column ? piece : line === 0 ? cell : '')));
  });
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

function wrapWords(text: string, room: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1)!;
    if (last !== '' && last.length + 1 + word.length > room) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}

/** Code points; wide scripts are rare in model names. */
const width = (text: string): number => [...text].length;
