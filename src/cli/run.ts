import { CommanderError, Option, Command as Parser } from 'commander';
import type { z } from 'zod';
import { HearthError, similarity } from '../core/index.ts';
import { type Command, lookOf } from './command.ts';
import { EXAMPLES, GROUPS_OF_VERBS } from './commands/examples.ts';
import { COMMANDS } from './commands/index.ts';
import type { CommonOptions, ProcessFacts } from './context.ts';
import { createContext, type OwnedContext } from './create-context.ts';
import { printEnvelope, successEnvelope } from './envelope.ts';
import { errorDocument, renderError, toCliError, withCommand, withoutHome } from './errors.ts';
import { overview } from './overview.ts';
import { plain } from './render/plain.ts';

const RUN_PROGRAMS = ['hearth-run', 'mlx-run'];
const COMPATIBLE_PROGRAMS = ['mlxk', 'mlxk2', 'mlxk-json', 'mlx-run'];
/** With nothing but these there is no command to run. */
const BARE_OPTIONS = ['--json', '-q', '--quiet', '-y', '--yes', '--no-color', '--'];
const LOG_LEVELS = ['debug', 'info', 'warning', 'error'];

/** Runs one command line and returns its exit code. The only file that knows the parser. */
export async function runCli(facts: ProcessFacts): Promise<number> {
  const argv = RUN_PROGRAMS.includes(facts.program) ? ['run', ...facts.argv] : [...facts.argv];
  const end = argv.indexOf('--');
  const own = end < 0 ? argv : argv.slice(0, end);
  const json = own.includes('--json');
  const verb = verbOf(own);
  if (verb === undefined && (own.includes('--version') || own.includes('-V'))) argv.unshift('version');
  const name = verbOf(argv);
  const command = name === undefined ? null : (COMMANDS.find((c) => firstWord(c) === name || c.aliases?.includes(name)) ?? null);
  try {
    // Options that nobody knows are the parser's to refuse.
    if (name === undefined && isBare(own)) return withoutCommand(facts, json);
    if (name !== undefined && name !== 'help' && command === null) throw unknownVerb(name);
    return await parseAndRun(facts, argv, command);
  } catch (thrown) {
    const error = withCommand(withoutHome(toCliError(thrown), facts.userHome), command === null ? null : firstWord(command));
    const envelopeName = command === null ? 'version' : (command.envelope ?? firstWord(command));
    if (json) facts.stdout.write(printEnvelope(errorDocument(envelopeName, error)));
    else facts.stderr.write(renderError(command === null ? null : firstWord(command), error));
    return error.exitCode;
  }
}

function withoutCommand(facts: ProcessFacts, json: boolean): number {
  const error = new HearthError('usage', 'No command given.');
  if (json) {
    facts.stdout.write(printEnvelope(errorDocument('version', toCliError(error))));
    return 1;
  }
  if (COMPATIBLE_PROGRAMS.includes(facts.program)) {
    facts.stderr.write(buildParser(facts, COMMANDS, async () => {}).helpInformation());
    return 2;
  }
  facts.stdout.write(overview(facts));
  return 0;
}

async function parseAndRun(facts: ProcessFacts, argv: readonly string[], command: Command | null): Promise<number> {
  let exitCode = 0;
  // Only the commands of the verb are built: a parser of all of them costs time at every start.
  const wanted = command === null ? COMMANDS : COMMANDS.filter((other) => firstWord(other) === firstWord(command));
  const parser = buildParser(facts, wanted, async (chosen, args, options, common) => {
    exitCode = await execute(facts, chosen, args, options, common);
  });
  try {
    await parser.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.helpDisplayed' || error.code === 'commander.help') return error.exitCode;
    throw new HearthError('usage', sentence(error.message));
  }
  return exitCode;
}

async function execute(
  facts: ProcessFacts,
  command: Command,
  args: Record<string, unknown>,
  options: Record<string, unknown>,
  common: CommonOptions & { readonly logLevel?: string; readonly color: boolean },
): Promise<number> {
  const context: OwnedContext = createContext(facts, common);
  try {
    const outcome = await command.run(context, args, options);
    if (outcome.silent) return outcome.exitCode ?? 0;
    if (common.json) facts.stdout.write(printEnvelope(successEnvelope(command.envelope ?? firstWord(command), outcome.data)));
    else if (command.render !== undefined) {
      // The last place before a terminal: whatever a name or a message holds, it moves no cursor.
      const text = plain(command.render(outcome.data, context, options));
      if (text !== '') facts.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
    }
    return outcome.exitCode ?? 0;
  } catch (error) {
    // Whatever an interrupted step complained of, the user's own Ctrl-C is the reason.
    if (context.signal.aborted && toCliError(error).code !== 'cancelled') throw new HearthError('cancelled', 'Interrupted.', { cause: error });
    throw error;
  } finally {
    await context.close();
  }
}

type Action = (
  command: Command,
  args: Record<string, unknown>,
  options: Record<string, unknown>,
  common: CommonOptions & { readonly logLevel?: string; readonly color: boolean },
) => Promise<void>;

function buildParser(facts: ProcessFacts, commands: readonly Command[], action: Action): Parser {
  const root = new Parser('hearth').description('A private, verified home for local language models.');
  root.exitOverride().configureOutput({
    writeOut: (text) => facts.stdout.write(text),
    writeErr: () => {}, // errors are told once, by the translator
    getOutHelpWidth: () => facts.terminal.columns,
    getOutHasColors: () => facts.terminal.colour,
  });
  root.option('-V, --version', 'print the version').helpCommand(false);
  root.configureHelp({
    subcommandTerm: (command) => [command.name(), ...command.registeredArguments.filter(() => command.commands.length === 0).map(argumentTerm)].join(' '),
  });
  const planned = commands.filter((command) => command.planned && !command.name.includes(' ')).map((command) => command.name);
  if (planned.length > 0) root.addHelpText('after', `\nKnown, and not in this version yet: ${planned.join(', ')}.`);
  addCommonOptions(root);
  const parents = new Map<string, Parser>();
  for (const command of commands) {
    const words = command.name.split(' ');
    let parent = root;
    for (let depth = 1; depth < words.length; depth += 1) {
      const word = words[depth - 1]!;
      const path = words.slice(0, depth).join(' ');
      let node = parents.get(path);
      if (node === undefined) {
        node = parent.command(word).helpGroup(`${command.group}:`).helpCommand(false);
        const below = commands.filter((other) => other.name.startsWith(`${path} `));
        const seconds = [...new Set(below.map((other) => other.name.split(' ')[depth]!))];
        node.description(describeGroup(path, seconds)).argument('[verb]').allowExcessArguments();
        addCommonOptions(node);
        node.action((second?: string) => {
          const told = second === undefined ? `\`hearth ${path}\` needs a verb` : `\`hearth ${path}\` has no verb "${second}"`;
          throw new HearthError('usage', `${told}; there are ${seconds.join(', ')}.`);
        });
        parents.set(path, node);
      }
      parent = node;
    }
    addCommand(parent, root, command, action);
  }
  return root;
}

const describeGroup = (path: string, verbs: readonly string[]): string => {
  const purpose = GROUPS_OF_VERBS[path];
  return purpose === undefined ? verbs.join(', ') : `${purpose}: ${verbs.join(', ')}`;
};

const argumentTerm = (argument: { readonly required: boolean; readonly variadic: boolean; name(): string }): string => {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return argument.required ? `<${name}>` : `[${name}]`;
};

function addCommand(parent: Parser, root: Parser, command: Command, action: Action): void {
  const parser = parent
    .command(command.name.split(' ').at(-1)!, { hidden: command.planned === true, isDefault: command.isDefault === true })
    .helpGroup(`${command.group}:`);
  parser.description(command.planned ? `${command.summary} (not in this version yet)` : command.summary);
  for (const alias of command.aliases ?? []) parser.alias(alias);
  for (const argument of command.arguments) {
    const rest = argument.schema.safeParse(['x']).success && !argument.schema.safeParse('x').success;
    const optional = argument.schema.safeParse(undefined).success;
    const inner = rest ? `${argument.name}...` : argument.name;
    parser.argument(optional ? `[${inner}]` : `<${inner}>`, argument.schema.description ?? '');
  }
  for (const [name, schema] of Object.entries(command.options)) parser.addOption(commanderOption(name, schema));
  const examples = EXAMPLES[command.name];
  if (examples !== undefined) parser.addHelpText('after', ['', 'Examples:', ...examples.map((example) => `  ${example}`)].join('\n'));
  addCommonOptions(parser);
  parser.action(async (...received: unknown[]) => {
    const given = parser.opts<Record<string, unknown>>();
    const merged = { ...root.opts<Record<string, unknown>>(), ...parent.opts<Record<string, unknown>>(), ...given };
    const any = (key: string) => [root, parent, parser].some((p) => p.opts<Record<string, unknown>>()[key] === true);
    const args: Record<string, unknown> = {};
    command.arguments.forEach((argument, i) => {
      const value = received[i];
      args[argument.name] = check(`<${argument.name}>`, argument.schema, Array.isArray(value) && value.length === 0 ? undefined : value);
    });
    const options: Record<string, unknown> = {};
    for (const [name, schema] of Object.entries(command.options)) options[name] = check(`--${kebab(name)}`, schema, given[name]);
    const logLevel = merged['logLevel'];
    await action(command, args, options, {
      json: any('json'),
      quiet: any('quiet'),
      yes: any('yes'),
      color: ![root, parent, parser].some((p) => p.opts<Record<string, unknown>>()['color'] === false),
      ...(typeof logLevel === 'string' ? { logLevel } : {}),
    });
  });
}

function commanderOption(name: string, schema: z.ZodType): Option {
  const look = lookOf(schema);
  const long = look.negated ? `--no-${kebab(name)}` : `--${kebab(name)}`;
  const flags = `${look.short === undefined ? '' : `-${look.short}, `}${long}${look.value === undefined ? '' : ` ${look.value}`}`;
  const made = new Option(flags, schema.description ?? '');
  if (look.hidden) made.hideHelp();
  if (look.repeatable && look.value?.includes('...') !== true) made.argParser((value, before: unknown) => [...(Array.isArray(before) ? before : []), value]);
  return made;
}

function addCommonOptions(parser: Parser): void {
  const add = (flags: string, text: string) => parser.addOption(new Option(flags, text).helpGroup('Common options:'));
  add('--json', 'print one JSON document');
  add('-q, --quiet', 'no notices and no progress');
  add('-y, --yes', 'answer questions with yes');
  add('--no-color', 'no colours');
  parser.addOption(new Option('--log-level <level>', 'least severe log line').choices(LOG_LEVELS).helpGroup('Common options:'));
  parser.addHelpOption(new Option('-h, --help', 'show this help').helpGroup('Common options:'));
}

function check(name: string, schema: z.ZodType, value: unknown): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const reason = result.error.issues[0]?.message ?? 'is not valid';
  throw new HearthError('usage', /^(must|is) /.test(reason) ? `${name} ${sentence(reason, false)}` : `${name}: ${sentence(reason)}`);
}

function unknownVerb(name: string): HearthError {
  const verbs = [...new Set(COMMANDS.flatMap((command) => [firstWord(command), ...(command.aliases ?? [])]))];
  const near = verbs
    .map((verb) => ({ verb, score: Math.max(similarity(verb, name), name.length > 2 && verb.startsWith(name) ? 0.5 : 0) }))
    .filter((entry) => entry.score >= 0.5)
    .sort((a, b) => b.score - a.score)
    .slice(0, 3)
    .map((entry) => entry.verb);
  const tail = near.length === 0 ? '`hearth --help` lists the commands.' : `Did you mean ${near.join(' or ')}?`;
  return new HearthError('usage', `Unknown command "${name}". ${tail}`, { details: { near } });
}

const isBare = (words: readonly string[]): boolean =>
  words.every(
    (word, i) => BARE_OPTIONS.includes(word) || (word === '--log-level' && LOG_LEVELS.includes(words[i + 1] ?? '')) || words[i - 1] === '--log-level',
  );

/** The first word that is no option; values of common options do not count. */
function verbOf(argv: readonly string[]): string | undefined {
  for (let i = 0; i < argv.length; i += 1) {
    const word = argv[i]!;
    if (word === '--log-level') i += 1;
    else if (word === '--') return undefined;
    else if (!word.startsWith('-')) return word;
  }
  return undefined;
}

const firstWord = (command: Command): string => command.name.split(' ')[0]!;
const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const sentence = (text: string, capital = true): string => {
  const clean = text
    .replace(/^error: /, '')
    .replace(/\n\((Did you mean .*\?)\)$/, '. $1')
    .trim();
  return `${capital ? clean.charAt(0).toUpperCase() : clean.charAt(0)}${clean.slice(1)}${/[.?!]$/.test(clean) ? '' : '.'}`;
};
