import type { z } from 'zod';
import { type Command, lookOf } from './command.ts';
import { EXAMPLES } from './commands/examples.ts';
import { COMMANDS } from './commands/index.ts';

const GROUPS: readonly Command['group'][] = ['Models', 'Server', 'Stack', 'Security', 'Agents and training'];

/** docs/cli.md, from the command values. */
export function printCliDocs(): string {
  const lines = [
    '# Commands',
    '',
    'Printed by `npm run docs` from the command values in `src/cli/commands`.',
    '',
    'Every command takes `--json` (one JSON document on stdout), `--quiet`, `--yes`, `--no-color`, `--log-level LEVEL` and `--help`, before or after the verb. `hearth-run M ...` is `hearth run M ...`.',
    '',
  ];
  for (const group of GROUPS) {
    const commands = COMMANDS.filter((command) => command.group === group);
    const built = commands.filter((command) => !command.planned);
    const planned = commands.filter((command) => command.planned).map((command) => `\`${command.name}\``);
    lines.push(`## ${group}`, '');
    for (const command of built) lines.push(...describeCommand(command));
    if (planned.length > 0) lines.push(`Known, and not built in this version (\`not_implemented\`): ${planned.join(', ')}.`, '');
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function describeCommand(command: Command): string[] {
  const words = command.arguments.map((argument) => {
    const rest = argument.schema.safeParse(['x']).success && !argument.schema.safeParse('x').success;
    const name = rest ? `${argument.name}...` : argument.name;
    return argument.schema.safeParse(undefined).success ? `[${name}]` : `<${name}>`;
  });
  const lines = [`### hearth ${[command.name, ...words].join(' ')}`, '', `${command.summary}.`, ''];
  if (command.aliases !== undefined) lines.push(`Also: ${command.aliases.map((alias) => `\`${alias}\``).join(', ')}.`, '');
  const options = Object.entries(command.options).filter(([, schema]) => !lookOf(schema).hidden);
  const described = command.arguments.filter((argument) => argument.schema.description !== undefined);
  for (const argument of described) lines.push(`- \`${argument.name}\`: ${argument.schema.description}`);
  if (described.length > 0) lines.push('');
  if (options.length > 0) {
    lines.push('| Option | Meaning | Default |', '|---|---|---|');
    for (const [name, schema] of options) {
      const look = lookOf(schema);
      const long = `--${look.negated ? 'no-' : ''}${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      const form = `${look.short === undefined ? '' : `-${look.short}, `}${long}${look.value === undefined ? '' : ` ${look.value}`}`;
      lines.push(`| \`${form}\` | ${(schema.description ?? '').replaceAll('|', '\\|')} | ${defaultOf(schema)} |`);
    }
    lines.push('');
  }
  const examples = EXAMPLES[command.name];
  if (examples !== undefined) lines.push('```sh', ...examples, '```', '');
  return lines;
}

function defaultOf(schema: z.ZodType): string {
  const given = schema.safeParse(undefined);
  if (!given.success || given.data === undefined || typeof given.data === 'boolean') return '';
  return Array.isArray(given.data) && given.data.length === 0 ? '' : `\`${String(given.data)}\``;
}
