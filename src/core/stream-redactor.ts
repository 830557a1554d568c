import { LONGEST_KEY } from './find-secrets.ts';
import { redact, secretsIn } from './redact.ts';

/** Strips secrets from a text that comes in pieces: none gets through because it was cut in two. */
export interface StreamRedactor {
  /** What is safe to pass on by now. */
  push(piece: string): string;
  /** The rest, at the end. */
  end(): string;
}

/** Longer than any secret of a known shape but keys in PEM; those are held from their first line to their last, or for 16 KiB. */
const WINDOW = 4 * 1024;
const HELD = LONGEST_KEY;
/** A name and what stands between it and its secret. */
const NAME = 256;
const PEM_BEGIN = '-----BEGIN ';
const PEM_END = /-----END [A-Z0-9 ]{0,40}-----/;

/** Whole lines pass at once; what has no end of line waits until it is longer than the window (docs/spec/security.md §11). */
export function createStreamRedactor(): StreamRedactor {
  let held = '';
  return {
    push(piece) {
      held += piece;
      const end = safeEnd(held);
      const passed = redact(held.slice(0, end));
      held = held.slice(end);
      return passed;
    },
    end() {
      const rest = redact(held);
      held = '';
      return rest;
    },
  };
}

/** The longest beginning that no secret reaches out of. */
function safeEnd(text: string): number {
  const line = text.lastIndexOf('\n') + 1;
  let end = text.length - line > HELD ? text.length - WINDOW : line;
  // A marker may be cut itself: its first characters wait with the line that they are in.
  for (let begin = text.indexOf(PEM_BEGIN); begin >= 0 && begin < end; begin = text.indexOf(PEM_BEGIN, begin + 1)) {
    const closed = PEM_END.exec(text.slice(begin, begin + HELD + 64));
    if (closed === null && text.length - begin <= HELD) {
      end = begin;
      break;
    }
  }
  for (const span of secretsIn(text)) {
    const from = end === line ? span.start : Math.max(0, span.start - NAME);
    if (from < end && span.end > end) return text.length > 4 * HELD ? span.end : from;
  }
  return end;
}
