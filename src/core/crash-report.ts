import { redact, shortenHome } from './redact.ts';
import { escapeForTerminal } from './terminal-text.ts';

/** What a program says when it ends by an error that nobody foresaw: with its place in the code, without secrets and without the user's name. */
export function crashReport(program: string, error: unknown, userHome: string): string {
  const told = error instanceof Error ? (error.stack ?? `${error.name}: ${error.message}`) : String(error);
  return `${program} ends: something went wrong that it did not foresee.\n${shortenHome(escapeForTerminal(redact(told)), userHome)}\n`;
}
