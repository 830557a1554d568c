import { type Command, lookOf } from './command.ts';

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
  const parents = [...new Set(commands.filter((c) => c.name.includes(' ')).map((c) => c.name.split(' ')[0]!))];
  const nested = parents.map((parent) => `    "${parent}") words="${secondWords(commands, parent).join(' ')}" ;;`);
  return `_hearth() {
  local current="\${COMP_WORDS[COMP_CWORD]}" verb="\${COMP_WORDS[1]}" words=""
  case " ${parents.join(' ')} " in *" $verb "*) [ "$COMP_CWORD" -gt 2 ] && verb="$verb \${COMP_WORDS[2]}" ;; esac
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
    const summary = commands.find((command) => command.name === verb)?.summary ?? secondWords(commands, verb).join(', ');
    lines.push(`complete -c hearth -n __fish_use_subcommand -a ${verb} -d ${quote(summary)}`);
  }
  for (const command of commands) {
    const [verb, second] = command.name.split(' ');
    if (second !== undefined) lines.push(`complete -c hearth -n '__fish_seen_subcommand_from ${verb}' -a ${second} -d ${quote(command.summary)}`);
    const seen =
      second === undefined ? `__fish_seen_subcommand_from ${verb}` : `__fish_seen_subcommand_from ${verb}; and __fish_seen_subcommand_from ${second}`;
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
const secondWords = (commands: readonly Command[], verb: string): string[] =>
  commands.filter((command) => command.name.startsWith(`${verb} `)).map((command) => command.name.split(' ')[1]!);

function optionsOf(command: Command): string[] {
  const own = Object.entries(command.options).filter(([, schema]) => !lookOf(schema).hidden);
  return [...own.map(([name, schema]) => `--${longName(name, lookOf(schema).negated)}`), ...COMMON];
}
