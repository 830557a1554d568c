import { hearthHome, type LoadedConfig } from '../config/index.ts';
import { escapeInJson, redact } from '../core/index.ts';
import type { Connection } from './connect.ts';
import type { CommonOptions, Context, ProcessFacts } from './context.ts';
import { plain, printable } from './render/plain.ts';
import { HEARTH_VERSION } from './version.ts';

export interface OwnedContext extends Context {
  close(): Promise<void>;
}

/** What one command gets; closing it ends whatever the command started in this process. */
export function createContext(facts: ProcessFacts, common: CommonOptions & { readonly logLevel?: string; readonly color: boolean }): OwnedContext {
  const home = hearthHome(facts.env, facts.userHome);
  const abort = new AbortController();
  const interrupt = (code: number) => () => {
    if (abort.signal.aborted) facts.exitNow(code);
    abort.abort();
  };
  let stopDefault = facts.onInterrupt(interrupt(130));
  let stopTerminate = facts.onTerminate(interrupt(143));
  let connection: Promise<Connection> | null = null;
  let baseConfig: Promise<LoadedConfig> | null = null;

  async function loadConfig(flags: Readonly<Record<string, unknown>> = {}): Promise<LoadedConfig> {
    const { findConfigFile, load } = await import('../config/index.ts');
    return await load({ flags: { 'logs.level': common.logLevel, ...flags }, env: facts.env, userFile: findConfigFile(home) });
  }

  const context: OwnedContext = {
    program: facts.program,
    version: HEARTH_VERSION,
    cwd: facts.cwd,
    home,
    userHome: facts.userHome,
    env: facts.env,
    terminal: { ...facts.terminal, colour: facts.terminal.colour && common.color },
    common: { json: common.json, quiet: common.quiet, yes: common.yes },
    stdin: facts.stdin,
    signal: abort.signal,
    onHangup: facts.onHangup,
    onTerminate(listener) {
      stopTerminate();
      stopTerminate = facts.onTerminate(listener);
      return stopTerminate;
    },
    onInterrupt(listener) {
      // A command that listens decides itself what Ctrl-C means.
      stopDefault();
      const stop = facts.onInterrupt(listener);
      return () => {
        stop();
        stopDefault = facts.onInterrupt(interrupt(130));
      };
    },
    output: {
      stdout: facts.stdout,
      stderr: facts.stderr,
      text: (text) => {
        if (!common.json) facts.stdout.write(facts.terminal.stdout ? printable(text) : text);
      },
      notice: (line) => {
        if (!common.quiet) facts.stderr.write(`${plain(redact(line))}\n`);
      },
      document: (value) => {
        facts.stdout.write(`${escapeInJson(JSON.stringify(value, null, 2))}\n`);
      },
    },
    loadConfig(flags) {
      if (flags !== undefined) return loadConfig(flags);
      baseConfig ??= loadConfig();
      return baseConfig;
    },
    connect() {
      connection ??= import('./connect.ts').then(({ connect }) => connect(context));
      return connection;
    },
    connectDaemon(how) {
      connection ??= import('./connect.ts').then(({ connectDaemon }) => connectDaemon(context, how));
      return connection;
    },
    async findDaemon(how) {
      const { findRunning } = await import('./connect.ts');
      return await findRunning(context, how);
    },
    connectHere(flags) {
      connection ??= import('./connect.ts').then(({ connectHere }) => connectHere(context, flags));
      return connection;
    },
    async close() {
      stopDefault();
      stopTerminate();
      const open = await connection?.catch(() => null);
      await open?.close();
    },
  };
  return context;
}
