export interface Detokenizer {
  /** The text that became complete with this token. */
  push(id: number): string;
  /** What is held back: bytes that never became a character are given as replacement characters. */
  flush(): string;
}

export interface DetokenizerOptions {
  bytesAt(id: number, first: boolean): Uint8Array;
  /** Tokens that give no text. */
  skip(id: number): boolean;
  readonly stripsFirstSpace: boolean;
}

export function createDetokenizer(options: DetokenizerOptions): Detokenizer {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  let first = true;
  let strip = options.stripsFirstSpace;
  const trim = (text: string): string => {
    if (!strip || text === '') return text;
    strip = false;
    return text.startsWith(' ') ? text.slice(1) : text;
  };
  return {
    push(id) {
      if (options.skip(id)) return '';
      const bytes = options.bytesAt(id, first);
      first = false;
      return trim(utf8.decode(bytes, { stream: true }));
    },
    flush: () => trim(utf8.decode()),
  };
}
