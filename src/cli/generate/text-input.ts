import type { Readable } from 'node:stream';
import { HearthError } from '../../core/index.ts';

/** All of a stream as text, without the line ends at its end. */
export async function readAll(stream: Readable): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(Buffer.from(piece as Uint8Array));
  return Buffer.concat(pieces).toString('utf8').trimEnd();
}

export interface BatchLine {
  readonly text: string;
  /** Everything else that was in the line. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** One JSON object with a `text` on each line; throws invalid_value naming the first line that is none. */
export function parseBatch(input: string): BatchLine[] {
  const lines = input.split('\n').map((line, i) => ({ line: line.trim(), number: i + 1 }));
  return lines
    .filter(({ line }) => line !== '')
    .map(({ line, number }) => {
      const wrong = (reason: string, cause?: unknown) => new HearthError('invalid_value', `Line ${number}: ${reason}.`, { cause, details: { line: number } });
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (error) {
        throw wrong('this is not JSON', error);
      }
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('a JSON object is needed, such as {"text": "…"}');
      const { text, ...fields } = value as Record<string, unknown>;
      if (typeof text !== 'string' || text === '') throw wrong('the object needs a text: {"text": "…"}');
      return { text, fields };
    });
}
