import { createAddedTokenSplitter, type Permission } from './added-tokens.ts';
import { createModel, type TokenizerModel } from './model.ts';
import { createNormalizer } from './normalizer.ts';
import { createPreTokenizer } from './pre-tokenizer.ts';
import type { TokenizerJson } from './tokenizer-json.ts';

/** A stretch of a prompt. `special`: written by the template or the caller's own hand, so its control tokens count. */
export interface TextSegment {
  readonly text: string;
  readonly special: boolean;
}

export interface Encoder {
  readonly model: TokenizerModel;
  encode(segments: readonly TextSegment[]): number[];
}

/**
 * The way of a text to ids: control and other added tokens are cut out, the rest is normalised, cut into words and
 * given to the model. Segments are joined first, so that a border between two of them changes no word; a control token
 * counts only where its whole text lies in segments with `special`.
 */
export function createEncoder(json: TokenizerJson): Encoder {
  const normalize = createNormalizer(json.normalizer);
  const preTokenize = createPreTokenizer(json.pre_tokenizer);
  const special = new Set(json.added_tokens.filter((entry) => entry.special).map((entry) => entry.content));
  const model = createModel(json.model, special);
  const entries = json.added_tokens.map((entry) => ({ entry, text: entry.content }));
  const raw = createAddedTokenSplitter(entries.filter(({ entry }) => !entry.normalized));
  // Tokens that are looked for after normalising have to be found by their normalised text.
  const normalized = createAddedTokenSplitter(entries.filter(({ entry }) => entry.normalized).map(({ entry }) => ({ entry, text: normalize(entry.content) })));
  // In a prompt whose text is only partly the template's, places in it are lost by normalising: there these marks are cut out before.
  const marks = createAddedTokenSplitter(entries.filter(({ entry }) => entry.normalized && entry.special));

  const encodeText = (text: string, atStart: boolean, allSpecial: boolean): number[] => {
    const clean = normalize(text);
    const permit: Permission = (token) => allSpecial || !token.special;
    return normalized(clean, permit).flatMap((section) => {
      if (section.kind === 'token') return [section.id];
      const words = preTokenize([{ text: clean.slice(section.start, section.end), atStart: atStart && section.start === 0 }]);
      return model.encode(words.map((word) => word.text).filter((word) => word !== ''));
    });
  };

  return {
    model,
    encode(segments) {
      // Half of a surrogate pair has no UTF-8: it becomes one replacement character, of the same length.
      const text = segments
        .map((segment) => segment.text)
        .join('')
        .toWellFormed();
      const allowed = specialRange(segments);
      const permit: Permission = (token, start, end) => !token.special || allowed(start, end);
      const encodePart = (start: number, end: number): number[] => encodeText(text.slice(start, end), start === 0, allowed(start, end));
      return raw(text, permit).flatMap((section) => {
        if (section.kind === 'token') return [section.id];
        const { start, end } = section;
        if (allowed(start, end)) return encodePart(start, end);
        const within: Permission = (token, from, to) => permit(token, start + from, start + to);
        return marks(text.slice(start, end), within).flatMap((part) => (part.kind === 'token' ? [part.id] : encodePart(start + part.start, start + part.end)));
      });
    },
  };
}

/** Tells whether a range of the joined text lies in segments with `special` only. */
function specialRange(segments: readonly TextSegment[]): (start: number, end: number) => boolean {
  const ranges: { start: number; end: number }[] = [];
  let at = 0;
  for (const segment of segments) {
    const last = ranges.at(-1);
    if (segment.special && last?.end === at) last.end += segment.text.length;
    else if (segment.special && segment.text !== '') ranges.push({ start: at, end: at + segment.text.length });
    at += segment.text.length;
  }
  return (start, end) => {
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ranges[middle]!.end < end) low = middle + 1;
      else high = middle;
    }
    const range = ranges[low];
    return range !== undefined && range.start <= start && end <= range.end;
  };
}
