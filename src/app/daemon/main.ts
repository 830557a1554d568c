import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { parseArgs } from 'node:util';
import { findConfigFile, hearthHome, load } from '../../config/index.ts';
import { crashReport, HearthError, isHearthError, toHearthError } from '../../core/index.ts';
import { runDaemon } from './run-daemon.ts';

// The entry file of `hearthd`: the daemon by itself. `hearth up` starts it on demand, launchd or systemd as a service, a person in the foreground.
const USAGE = 'Usage: hearthd [--foreground | --on-demand | --service]';
const MODES = ['foreground', 'on-demand', 'service'] as const;

function readMode(argv: readonly string[]): (typeof MODES)[number] | 'help' | 'version' {
  const options = Object.fromEntries([...MODES, 'help', 'version'].map((name) => [name, { type: 'boolean' as const }]));
  let given: string[];
  try {
    const { values } = parseArgs({ args: [...argv], options, strict: true, allowPositionals: false });
    given = Object.keys(values).filter((name) => values[name] === true);
  } catch (error) {
    throw new HearthError('usage', `${(error as Error).message.replace(/\. .*$/s, '')}. ${USAGE}`, { cause: error });
  }
  if (given.length > 1) throw new HearthError('usage', `--${given[0]} and --${given[1]} do not go together. ${USAGE}`);
  return (given[0] ?? 'foreground') as ReturnType<typeof readMode>;
}

async function main(): Promise<void> {
  const mode = readMode(process.argv.slice(2));
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string };
  if (mode === 'help') return void process.stdout.write(`${USAGE}\n`);
  if (mode === 'version') return void process.stdout.write(`hearthd ${version}\n`);
  const userHome = homedir();
  const home = hearthHome(process.env, userHome);
  const readConfig = async () => (await load({ flags: {}, env: process.env, userFile: findConfigFile(home) })).config;
  const config = await readConfig();
  const daemon = await runDaemon({
    config,
    readConfig,
    version,
    home,
    userHome,
    cwd: process.cwd(),
    env: process.env,
    stderr: process.stderr,
    mode,
    onReload: (listener) => void process.on('SIGHUP', listener),
    onStop(listener) {
      process.on('SIGINT', listener);
      process.on('SIGTERM', listener);
    },
  });
  if (mode === 'foreground') process.stderr.write(`hearthd ${version} runs${daemon.url === '' ? '' : ` and listens on ${daemon.url}/v1`} — Ctrl-C stops it.\n`);
  await daemon.stopped;
}

process.on('uncaughtException', (error) => {
  process.stderr.write(crashReport('hearthd', error, homedir()));
  process.exit(1);
});

try {
  await main();
  process.exitCode = 0;
} catch (error) {
  const told = isHearthError(error) ? error : toHearthError(error);
  process.stderr.write(`hearthd: Error: ${told.message}\nHint: ${told.row.hint}\n`);
  process.exitCode = told.row.exitCode;
}
// What is still open must not keep a daemon alive that has given its lock back.
process.exit();
