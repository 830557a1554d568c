// Prints the documents that are made from the sources. `--check` compares instead, and exits 1 when one is out of date.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { COMMANDS, completionScript, printCliDocs } from '../src/cli/index.ts';
import { CONFIG_KEYS } from '../src/config/index.ts';
import { ERRORS, type ErrorRow, endpoints, openApiDocument } from '../src/contract/index.ts';
import { withImportTable } from '../test/architecture/print-table.ts';

const root = join(import.meta.dirname, '..');
const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;

/** Path below the repository → content. */
export function generatedDocuments(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/cli.md', printCliDocs()],
    ['docs/config.md', printConfigDocs()],
    ['docs/errors.md', printErrorDocs()],
    ['docs/openapi.json', `${JSON.stringify(openApiDocument(endpoints, version), null, 2)}\n`],
    ...(['bash', 'zsh', 'fish'] as const).map((shell) => [`docs/completion/hearth.${shell}`, completionScript(shell, COMMANDS)] as const),
    ['ARCHITECTURE.md', withImportTable(readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8'))],
  ]);
}

function printConfigDocs(): string {
  const show = (value: unknown) => (Array.isArray(value) ? `[${value.join(', ')}]` : typeof value === 'object' ? JSON.stringify(value) : String(value));
  return [
    '# Configuration',
    '',
    'Printed by `npm run docs` from `src/config/schema.ts`.',
    '',
    'One file, `config.yaml` in the hearth home (`~/.hearth`, or `HEARTH_HOME`). A flag wins over the environment, the environment over the file, the file over the default. `hearth config list` shows what is in force, `hearth config explain KEY` where it came from.',
    '',
    '| Key | Allowed | Default | Environment | Meaning |',
    '|---|---|---|---|---|',
    ...CONFIG_KEYS.map(
      (key) =>
        `| \`${key.name}\` | ${key.allowed} | \`${show(key.defaultValue)}\` | ${key.variables.map((name) => `\`${name}\``).join(', ')} | ${key.description} |`,
    ),
    '',
  ].join('\n');
}

function printErrorDocs(): string {
  return [
    '# Errors',
    '',
    'Printed by `npm run docs` from `src/contract/errors.ts`. `code` is the same over HTTP, in JSON documents and in logs, and is never reused. `type` is the `error.type` of JSON documents of the command line.',
    '',
    '| Code | HTTP status | Exit code | Retry can help | Type | What to do |',
    '|---|---|---|---|---|---|',
    ...Object.entries(ERRORS as Readonly<Record<string, ErrorRow>>).map(
      ([code, row]) =>
        `| \`${code}\` | ${row.status} | ${row.exitCode} | ${row.retryable ? 'yes' : 'no'} | \`${row.type ?? code}\` | ${row.hint.replaceAll('|', '\\|')} |`,
    ),
    '',
  ].join('\n');
}

if (import.meta.main) {
  let outdated = 0;
  for (const [path, text] of generatedDocuments()) {
    const file = join(root, path);
    if (process.argv.includes('--check')) {
      if (read(file) === text) continue;
      console.error(`${path} is out of date; run npm run docs.`);
      outdated += 1;
    } else {
      mkdirSync(dirname(file), { recursive: true });
      if (read(file) !== text) writeFileSync(file, text);
    }
  }
  process.exit(outdated > 0 ? 1 : 0);
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
