import { expect, it } from 'vitest';
import { EXAMPLES, GROUPS_OF_VERBS } from './examples.ts';
import { COMMANDS } from './index.ts';

const COMMON = ['json', 'quiet', 'yes', 'no-color', 'log-level', 'help'];
const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

it('every example belongs to a command that is there, begins with it, and uses options that it has', () => {
  for (const [name, examples] of Object.entries(EXAMPLES)) {
    const command = COMMANDS.find((other) => other.name === name && other.planned !== true);
    expect([name, command?.name]).toEqual([name, name]);
    const known = [...COMMON, ...Object.keys(command!.options).flatMap((option) => [kebab(option), `no-${kebab(option)}`])];
    const begins = command!.isDefault ? name.split(' ').slice(0, -1).join(' ') : name;
    for (const example of examples) {
      const words = example.slice(example.indexOf('hearth ')).split(' -- ')[0]!.split(' ');
      expect(words.join(' ').startsWith(`hearth ${begins}`)).toBe(true);
      const used = words.filter((word) => word.startsWith('--')).map((word) => word.slice(2));
      expect([example, used.filter((option) => !known.includes(option))]).toEqual([example, []]);
    }
  }
});

it('every group of verbs says what it is for', () => {
  const groups = COMMANDS.filter((command) => command.planned !== true).flatMap((command) => {
    const words = command.name.split(' ');
    return words.slice(1).map((_, i) => words.slice(0, i + 1).join(' '));
  });
  expect(Object.keys(GROUPS_OF_VERBS).toSorted()).toEqual([...new Set(groups)].toSorted());
});
