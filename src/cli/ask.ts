import { createInterface } from 'node:readline/promises';
import { HearthError } from '../core/index.ts';
import type { Context } from './context.ts';

/** `null` where nobody can be asked: no terminal, or machine output. */
export async function askYesNo(context: Context, question: string): Promise<boolean | null> {
  const { terminal, common, output } = context;
  if (common.yes) return true;
  if (!terminal.stdin || !terminal.stderr || common.json) return null;
  const lines = createInterface({ input: context.stdin, output: output.stderr, terminal: true });
  const stopped = new AbortController();
  // A terminal in raw mode delivers Ctrl-C to the line reader.
  lines.on('SIGINT', () => stopped.abort());
  lines.on('close', () => stopped.abort());
  try {
    const answer = await lines.question(`${question} [Y/n] `, { signal: AbortSignal.any([stopped.signal, context.signal]) });
    return /^\s*(y|yes)?\s*$/i.test(answer);
  } catch (error) {
    throw new HearthError('cancelled', 'Interrupted.', { cause: error });
  } finally {
    lines.close();
  }
}
