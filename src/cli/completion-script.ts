import { type Command, lookOf } from './command.ts';
import { GROUPS_OF_VERBS } from './commands/examples.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

const COMMON = ['--json', '--quiet', '--yes', '--no-color', '--log-level', '--help'];

/** A completion script made from the command values: verbs, their second words and their options. */
export function completionScript(shell: (typeof SHELLS)[number], commands: readonly Command[]): string {
  const built = commands.filter((command) => !command.planned);
  if (shell === 'bash') return bash(built);
  if (shell === 'zsh') return `#compdef hearth\nautoload -U +X bashcompinit && bashcompinit\n${bash(built)}`;
  return fish(built);
}

function bash(commands: readonly Command[]): string {
  const cases = commands.map((command) => `    "${command.name}") words="${optionsOf(command).join(' ')}" ;;`);
  const groups = groupsOf(commands);
  const nested = groups.map((group) => `    "${group}") words="${wordsAfter(commands, group).join(' ')}" ;;`);
  const deeper = groups.map((group) => {
    const at = group.split(' ').length;
    return `  [ "$verb" = "${group}" ] && [ "$COMP_CWORD" -gt ${at + 1} ] && verb="$verb \${COMP_WORDS[${at + 1}]}"`;
  });
  return `_hearth() {
  local current="\${COMP_WORDS[COMP_CWORD]}" verb="\${COMP_WORDS[1]}" words=""
${deeper.join('\n')}
  if [ "$COMP_CWORD" -eq 1 ]; then words="${firstWords(commands).join(' ')}"; else case "$verb" in
${[...cases, ...nested].join('\n')}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ \${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _hearth hearth
`;
}

function fish(commands: readonly Command[]): string {
  const quote = (text: string) => `'${text.replaceAll("'", "\\'")}'`;
  const lines = ['complete -c hearth -f'];
  for (const verb of firstWords(commands)) {
    const summary = commands.find((command) => command.name === verb)?.summary ?? GROUPS_OF_VERBS[verb] ?? wordsAfter(commands, verb).join(', ');
    lines.push(`complete -c hearth -n __fish_use_subcommand -a ${verb} -d ${quote(summary)}`);
  }
  const seenAll = (name: string) =>
    name
      .split(' ')
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join('; and ');
  for (const group of groupsOf(commands)) {
    for (const word of wordsAfter(commands, group)) {
      const name = `${group} ${word}`;
      const summary = commands.find((command) => command.name === name)?.summary ?? GROUPS_OF_VERBS[name] ?? '';
      lines.push(`complete -c hearth -n '${seenAll(group)}' -a ${word} -d ${quote(summary)}`);
    }
  }
  for (const command of commands) {
    const seen = seenAll(command.name);
    for (const [name, schema] of Object.entries(command.options)) {
      const look = lookOf(schema);
      if (look.hidden) continue;
      const short = look.short === undefined ? '' : ` -s ${look.short}`;
      lines.push(
        `complete -c hearth -n '${seen}' -l ${longName(name, look.negated)}${short}${look.value === undefined ? '' : ' -r -F'} -d ${quote(schema.description ?? '')}`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}

const longName = (name: string, negated: boolean | undefined): string =>
  `${negated ? 'no-' : ''}${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
const firstWords = (commands: readonly Command[]): string[] => [...new Set(commands.map((command) => command.name.split(' ')[0]!))];
/** `keys`, `keys api`: what other words follow, shorter ones first. */
const groupsOf = (commands: readonly Command[]): string[] => {
  const names = commands.map((command) => command.name.split(' '));
  const groups = names.flatMap((words) => words.slice(1).map((_, i) => words.slice(0, i + 1).join(' ')));
  return [...new Set(groups)].sort((a, b) => a.split(' ').length - b.split(' ').length);
};
const wordsAfter = (commands: readonly Command[], group: string): string[] => [
  ...new Set(commands.filter((command) => command.name.startsWith(`${group} `)).map((command) => command.name.slice(group.length + 1).split(' ')[0]!)),
];

function optionsOf(command: Command): string[] {
  const own = Object.entries(command.options).filter(([, schema]) => !lookOf(schema).hidden);
  return [...own.map(([name, schema]) => `--${longName(name, lookOf(schema).negated)}`), ...COMMON];
}
