import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { HearthError } from '../core/index.ts';
import type { Context } from './context.ts';

/** Where a passphrase or PIN is, beside the terminal: never on the command line, which every user of the machine can see. */
export interface SecretPlace {
  /** Number of a descriptor that this process got: `3` with `3<file`. */
  readonly fd: number | undefined;
  /** Name of an environment variable. */
  readonly env: string | undefined;
}

/** One line of text that is not shown. Throws usage where nobody can be asked and no place was named. */
export async function readSecret(context: Context, place: SecretPlace, what: string): Promise<string> {
  if (place.env !== undefined) {
    const value = context.env[place.env];
    if (value === undefined) throw new HearthError('usage', `The environment variable ${place.env} is not set.`);
    return value;
  }
  if (place.fd !== undefined) {
    try {
      return readFileSync(place.fd, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      throw new HearthError('usage', `Nothing can be read from descriptor ${place.fd}.`, { cause: error });
    }
  }
  const { terminal, output, common } = context;
  if (!terminal.stdin || !terminal.stderr || common.json) {
    throw new HearthError('usage', `The ${what} is needed, and nobody can be asked: name where it is with --passphrase-fd or --passphrase-env.`);
  }
  return await ask(context, `${what[0]!.toUpperCase()}${what.slice(1)}: `, output.stderr);
}

async function ask(context: Context, question: string, stderr: Writable): Promise<string> {
  stderr.write(question);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: context.stdin, output: nowhere, terminal: true });
  const stopped = new AbortController();
  lines.on('SIGINT', () => stopped.abort());
  lines.on('close', () => stopped.abort());
  try {
    return await lines.question('', { signal: AbortSignal.any([stopped.signal, context.signal]) });
  } catch (error) {
    throw new HearthError('cancelled', 'Interrupted.', { cause: error });
  } finally {
    lines.close();
    stderr.write('\n');
  }
}
