import type { TokenLogprob, TokenProbability } from '../../../contract/index.ts';

/** What is known of a token when it is drawn. */
export interface TokenScores {
  readonly id: number;
  readonly logprob: number;
  readonly bytes: Uint8Array;
  readonly top: readonly TokenProbability[];
}

/**
 * Keeps the log probabilities beside the text: a token is told with the text that it ends, so that the tokens of all deltas join to the text.
 * Of a token that is partly cut off (by a stop string or a mark) the part that is shown remains.
 */
export interface LogprobQueue {
  /** A token was drawn, and made this text whole; '' for a part of a character. */
  add(scores: TokenScores, text: string): void;
  /** The text ended inside a character: what stands for it belongs to the last token. */
  complete(text: string): void;
  /** The next characters are content, or are not. Gives the content that may be told now. */
  decide(length: number, shown: boolean): { readonly text: string; readonly logprobs: readonly TokenLogprob[] };
}

interface Entry {
  readonly scores: TokenScores;
  text: string;
  /** Characters that are not decided yet. */
  left: number;
  shown: string;
}

export function createLogprobQueue(): LogprobQueue {
  const entries: Entry[] = [];
  return {
    add(scores, text) {
      entries.push({ scores, text, left: text.length, shown: '' });
    },
    complete(text) {
      const last = entries.at(-1);
      if (last === undefined) return;
      last.text += text;
      last.left += text.length;
    },
    decide(length, shown) {
      let rest = length;
      let text = '';
      const logprobs: TokenLogprob[] = [];
      /** Parts of characters belong to the token that completes them. */
      let parts: Entry[] = [];
      while (entries.length > 0 && (rest > 0 || entries[0]!.left === 0)) {
        const entry = entries[0]!;
        if (entry.text === '') {
          // Its character is decided with a later token; behind the last one it waits.
          if (rest === 0) break;
          parts.push(entries.shift()!);
          continue;
        }
        const taken = Math.min(rest, entry.left);
        const from = entry.text.length - entry.left;
        if (shown) entry.shown += entry.text.slice(from, from + taken);
        entry.left -= taken;
        rest -= taken;
        if (entry.left > 0) {
          entries.unshift(...parts);
          parts = [];
          break;
        }
        entries.shift();
        if (entry.shown !== '') {
          for (const part of parts) logprobs.push(told(part, ''));
          logprobs.push(told(entry, entry.shown));
          text += entry.shown;
        }
        parts = [];
      }
      return { text, logprobs };
    },
  };
}

function told({ scores, text }: Entry, shown: string): TokenLogprob {
  const bytes = shown === text ? Array.from(scores.bytes) : [...Buffer.from(shown, 'utf8')];
  return { id: scores.id, token: shown, bytes, logprob: scores.logprob, top: scores.top };
}
