import { readFile, stat } from 'node:fs/promises';
import { isJsonObject } from '../core/index.ts';

export interface JsonFileOptions {
  readonly limitBytes: number;
  /** Makes the error of what is wrong: `is not JSON`, `is larger than 8 bytes`. `cause`: what the system or the parser said. */
  readonly refuse: (why: string, cause?: unknown) => Error;
  /** JSON of the text, where it is written with liberties. */
  readonly parse?: (text: string) => unknown;
}

/** The object in a small JSON file. Throws what `refuse` makes. */
export async function readJsonObject(path: string, { limitBytes, refuse, parse = JSON.parse }: JsonFileOptions): Promise<Record<string, unknown>> {
  const unreadable = (cause: unknown): never => {
    throw refuse(`cannot be read: ${(cause as Error).message}`, cause);
  };
  const { size } = await stat(path).catch(unreadable);
  if (size > limitBytes) throw refuse(`is larger than ${limitBytes} bytes`);
  const text = await readFile(path, 'utf8').catch(unreadable);
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw refuse('is not JSON', cause);
  }
  if (!isJsonObject(value)) throw refuse('does not hold a JSON object');
  return value;
}
