import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/index.ts';

const root = join(import.meta.dirname, '../..');
const COMMON = ['json', 'quiet', 'yes', 'no-color', 'log-level', 'help'];
const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const built = COMMANDS.filter((command) => command.planned !== true);

/** The command lines of a page: those of its code blocks, and those between backticks. */
function commandLines(text: string): string[] {
  const fenced = [...text.matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)];
  const blocks = fenced.flatMap(([, language, block]) => (language === '' || language === 'sh' ? block!.split('\n') : []));
  const prose = fenced.reduce((rest, [fence]) => rest.replace(fence, ''), text);
  const quoted = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!.replaceAll('\\|', '|'));
  return [...blocks, ...quoted].flatMap((line) => /(?:^|[|;&] *|\bnpx )(hearth [^#|;&]*)/.exec(line.trim())?.[1]?.trim() ?? []);
}

/** What is wrong with a line, or null. */
function problemOf(line: string): string | null {
  const words = line.split(' -- ')[0]!.split(/\s+/).slice(1);
  if (words[0] === undefined || words[0].startsWith('-') || /^(<command>|MODEL)$/.test(words[0])) return null;
  const own = (name: string) => name.split(' ').every((word, i) => words[i] === word);
  const named = built.filter((command) => own(command.name) || (command.aliases ?? []).includes(words[0]!));
  // `bench MODEL` is `bench target MODEL`; `hearth keys` alone speaks of the group.
  const group = built.filter((command) => command.name.split(' ')[0] === words[0]);
  const commands = named.length > 0 ? named : group.filter((command) => command.isDefault === true || words.length === 1);
  if (commands.length === 0) return `no such command: ${line}`;
  const known = new Set([...COMMON, ...commands.flatMap((command) => Object.keys(command.options).flatMap((name) => [kebab(name), `no-${kebab(name)}`]))]);
  const unknown = words.filter((word) => /^--[a-z]/.test(word)).map((word) => word.slice(2).split(/[=,)]/)[0]!);
  const wrong = unknown.filter((name) => !known.has(name));
  return wrong.length === 0 ? null : `${line}: no option ${wrong.join(', ')}`;
}

it('every command line of the guides, README.md and SECURITY.md names a command and options that exist', () => {
  const pages = ['README.md', 'SECURITY.md', ...globSync('docs/guide/*.md', { cwd: root })];
  const lines = pages.flatMap((page) => commandLines(readFileSync(join(root, page), 'utf8')).map((line) => ({ page, line })));
  expect(lines.length).toBeGreaterThan(150);
  expect(lines.flatMap(({ page, line }) => (problemOf(line) === null ? [] : `${page}: ${problemOf(line)}`))).toEqual([]);
});

it('a command and an option that do not exist are found', () => {
  expect(commandLines('```\nls | hearth lists  # x\n```\nSay `hearth list --al`.').map(problemOf)).toEqual([
    'no such command: hearth lists',
    'hearth list --al: no option al',
  ]);
});
