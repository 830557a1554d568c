export { escapeForTerminal as plain, printable } from '../../core/index.ts';

/** One line of at most `width` characters. */
export const cut = (text: string, width: number): string => (text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`);
