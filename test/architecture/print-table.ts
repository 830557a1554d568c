import { MODULES } from './import-table.ts';

export const TABLE_BEGIN = '<!-- import table: printed by npm run docs -->';
export const TABLE_END = '<!-- import table: end -->';

/** The table of import directions as Markdown. */
export function importTable(): string {
  const rows = Object.entries(MODULES).map(([module, allowed]) => `| ${module} | ${allowed.length === 0 ? 'nothing of ours (zod)' : allowed.join(' ')} |`);
  return ['| module | may import |', '|---|---|', ...rows].join('\n');
}

/** The document with the table between its marks replaced. */
export function withImportTable(document: string): string {
  const from = document.indexOf(TABLE_BEGIN);
  const to = document.indexOf(TABLE_END);
  if (from < 0 || to < from) throw new Error('ARCHITECTURE.md lacks the marks of the import table');
  return `${document.slice(0, from + TABLE_BEGIN.length)}\n${importTable()}\n${document.slice(to)}`;
}
