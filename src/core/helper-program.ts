import { toHearthError } from './hearth-error.ts';
import { createJsonLineReader, encodeJsonLine } from './json-lines.ts';

/** A piece of a job or of its answer: values are longer than a message may be. */
export interface HelperPart {
  readonly part: string;
  readonly last: boolean;
}
export type HelperAnswer = HelperPart | { readonly code: string; readonly message: string } | { readonly ready: true };

/** Escaped as JSON a character takes up to six bytes. */
const PART_CHARACTERS = 150_000;

/** The messages that carry a JSON value; `text` is the value as JSON. */
export function* helperParts(text: string): Generator<HelperPart> {
  for (let at = 0; at === 0 || at < text.length; at += PART_CHARACTERS)
    yield { part: text.slice(at, at + PART_CHARACTERS), last: at + PART_CHARACTERS >= text.length };
}

/** Makes this process a helper: takes one job after another from descriptor 3 and answers each. It ends when its parent closes the channel. */
export function serveHelper(work: (input: unknown) => unknown): void {
  const { Socket } = process.getBuiltinModule('node:net');
  const socket = new Socket({ fd: 3, readable: true, writable: true });
  const end = (): void => {
    process.kill(process.pid, 'SIGKILL');
  };
  socket.on('error', end);
  socket.on('end', end);
  const send = (message: HelperAnswer): void => void socket.write(encodeJsonLine(message));
  let held = '';
  const reader = createJsonLineReader((message) => {
    const { part, last } = message as HelperPart;
    held += part;
    if (!last) return;
    const input: unknown = JSON.parse(held);
    held = '';
    try {
      for (const answer of helperParts(JSON.stringify(work(input) ?? null))) send(answer);
    } catch (error) {
      const { code, message: text } = toHearthError(error);
      send({ code, message: text.slice(0, 10_000) });
    }
  });
  socket.on('data', (bytes) => reader.push(bytes));
  send({ ready: true });
}
