/**
 * Characters that move a cursor, colour, turn the direction of writing or hide text: C0 but tab and newline, C1, the controls of direction,
 * separators of lines that only some readers see, and tags.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNSAFE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\u{e0000}-\u{e007f}]/gu;

/** Text of a model's name, a file or a message, safe for a terminal: what is unsafe is written as `\x1b`. Newlines and tabs stay. */
export const escapeForTerminal = (text: string): string =>
  text.replace(UNSAFE, (character) => {
    const code = character.codePointAt(0)!;
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });

/** Text in JSON, as JSON: the same value, and a terminal that shows it is left alone. */
export const escapeInJson = (json: string): string =>
  json.replace(UNSAFE, (character) =>
    Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`).join(''),
  );

/** The same on one line. */
export const escapeLine = (text: string): string => escapeForTerminal(text).replace(/[\t\n]/g, (character) => (character === '\n' ? '\\x0a' : '\\x09'));

/** Streamed answer of a model for a terminal: escape sequences and turned text are broken by dropping their characters; newline and tab stay. */
export const printable = (text: string): string => text.replace(UNSAFE, '');
