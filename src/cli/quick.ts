import { hearthHome } from '../config/environment.ts';
import type { ProcessFacts } from './context.ts';
import { printEnvelope, successEnvelope } from './envelope.ts';
import { HEARTH_VERSION } from './version.ts';

const COMMON = ['--json', '-q', '--quiet', '-y', '--yes', '--no-color'];
const LIST = ['--all', '-a', '--health', '--verbose', '-v'];

/**
 * `version` and `list` in their plain forms, without the parser, the schemas and the server that the other verbs need: they start
 * in a third of the time. null: the command line is something else, or went wrong; then `runCli` decides, whose answers are the same.
 */
export async function runQuickly(facts: ProcessFacts): Promise<number | null> {
  if (facts.program === 'hearth-run' || facts.program === 'mlx-run') return null;
  const words = facts.argv.filter((word) => !COMMON.includes(word));
  const json = facts.argv.includes('--json');
  const only = words.length === 1 ? words[0] : undefined;
  if (only === 'version' || only === '--version' || only === '-V') return await printVersion(facts, json);
  return words[0] === 'list' ? await printList(facts, words.slice(1), json) : null;
}

async function printVersion(facts: ProcessFacts, json: boolean): Promise<number> {
  const { renderVersion, versionData } = await import('./render/version-text.ts');
  const data = versionData(HEARTH_VERSION);
  facts.stdout.write(json ? printEnvelope(successEnvelope('version', data)) : `${renderVersion(facts.program, data)}\n`);
  return 0;
}

async function printList(facts: ProcessFacts, words: readonly string[], json: boolean): Promise<number | null> {
  const [pattern, ...rest] = words.filter((word) => !LIST.includes(word));
  if (rest.length > 0 || pattern === '' || pattern?.startsWith('-')) return null;
  const given = (...names: string[]): boolean => names.some((name) => words.includes(name));
  try {
    const { listModels } = await import('../app/index.ts');
    const data = await listModels({
      env: facts.env,
      home: hearthHome(facts.env, facts.userHome),
      userHome: facts.userHome,
      cwd: facts.cwd,
      stamp: STAMP,
      ...(pattern === undefined ? {} : { pattern }),
    });
    if (json) facts.stdout.write(printEnvelope(successEnvelope('list', data)));
    else {
      const { renderList } = await import('./render/model-list.ts');
      facts.stdout.write(`${renderList(data, { all: given('--all', '-a'), health: given('--health'), verbose: given('--verbose', '-v') }, Date.now())}\n`);
    }
    return 0;
  } catch {
    return null; // the whole command line tells errors
  }
}

/** Sources change between two runs of one version: what they found out is not kept. */
const STAMP = import.meta.url.endsWith('.ts') ? `${HEARTH_VERSION} ${Date.now()}` : HEARTH_VERSION;
