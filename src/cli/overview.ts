import { existsSync } from 'node:fs';
import { hearthHome, homeToTilde } from '../config/index.ts';
import type { Command } from './command.ts';
import { COMMANDS } from './commands/index.ts';
import type { ProcessFacts } from './context.ts';
import { HEARTH_VERSION } from './version.ts';

const GROUPS: readonly Command['group'][] = ['Models', 'Server', 'Stack', 'Security', 'Agents and training'];

/** What bare `hearth` prints: what it is, where it stands, the verbs by group, the next step. It creates nothing. */
export function overview(facts: ProcessFacts): string {
  const home = hearthHome(facts.env, facts.userHome);
  const verbs = (group: Command['group']) =>
    COMMANDS.filter((command) => command.group === group && !command.planned).map((command) => command.name.split(' ')[0]!);
  const groups = GROUPS.map((group) => ({ group, verbs: [...new Set(verbs(group))] })).filter((entry) => entry.verbs.length > 0);
  const width = Math.max(...groups.map((entry) => entry.group.length));
  return [
    `hearth ${HEARTH_VERSION} — a private, verified home for local language models`,
    '',
    `Home   ${homeToTilde(home, facts.userHome)}${existsSync(home) ? '' : ' (not made yet)'}`,
    '',
    ...groups.map((entry) => `${entry.group.padEnd(width)}   ${entry.verbs.join('  ')}`),
    '',
    'Next   hearth run smollm2-135m "Name the capital city of France."',
    '       hearth --help, hearth <command> --help',
    '',
  ].join('\n');
}
