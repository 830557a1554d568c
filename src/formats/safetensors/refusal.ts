import type { SafetensorsCode } from '../../contract/index.ts';

/** How the parsers of this folder give up inside; it is turned into a value or a HearthError at their border. */
export class Refusal extends Error {
  readonly code: SafetensorsCode;

  constructor(code: SafetensorsCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A name from an untrusted file as it may stand in a message: short, on one line, without control characters. */
export function quoted(name: string): string {
  const text = JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
  return text.replace(/[^\x20-\x7e…]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
