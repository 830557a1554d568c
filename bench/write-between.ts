import { readFileSync, writeFileSync } from 'node:fs';

/** Replaces what a document has between `<!-- mark -->` and `<!-- /mark -->`. */
export function writeBetween(path: string, mark: string, lines: readonly string[]): void {
  const text = readFileSync(path, 'utf8');
  const [open, close] = [`<!-- ${mark} -->`, `<!-- /${mark} -->`];
  const start = text.indexOf(open);
  const end = text.indexOf(close);
  if (start < 0 || end < start) throw new Error(`${path} has no marks ${open} … ${close}`);
  writeFileSync(path, `${text.slice(0, start + open.length)}\n${lines.join('\n')}\n${text.slice(end)}`);
}
