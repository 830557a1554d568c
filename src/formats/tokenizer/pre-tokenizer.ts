import { toByteCharacters } from './byte-level.ts';
import { compilePattern } from './pattern.ts';
import { invalid, type TokenizerPart } from './tokenizer-json.ts';

/** A piece of text on its way to the model. `atStart`: it begins where the whole input begins. */
export interface Piece {
  readonly text: string;
  readonly atStart: boolean;
}

export type PreTokenizer = (pieces: readonly Piece[]) => Piece[];

/** What happens with the matches of a pattern; the names of tokenizer.json in lower case. */
export type SplitBehavior = 'removed' | 'isolated' | 'contiguous' | 'mergedwithprevious' | 'mergedwithnext';

// The reference (the Rust library) counts whitespace, digits and punctuation by Unicode; JavaScript's \s and \d do not.
const GPT2 = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const WORDS = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;
const SPACE = /\p{White_Space}/gu;
const DIGIT = /\p{N}/gu;
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;

/** Builds the pre-tokenizer that tokenizer.json describes; throws `tokenizer_invalid` for a kind that is not known. */
export function createPreTokenizer(part: TokenizerPart | null): PreTokenizer {
  if (part === null) return (pieces) => [...pieces];
  switch (part.type) {
    case 'Sequence': {
      const steps = (Array.isArray(part['pretokenizers']) ? part['pretokenizers'] : []).map((step) => createPreTokenizer(step as TokenizerPart));
      return (pieces) => steps.reduce<Piece[]>((current, step) => step(current), [...pieces]);
    }
    case 'ByteLevel':
      return byteLevel(part);
    case 'Metaspace':
      return metaspace(part);
    case 'Split':
      return splitter(compilePattern(part['pattern']), behaviorOf(part['behavior'], 'isolated'), part['invert'] === true);
    case 'Digits':
      return splitter(DIGIT, part['individual_digits'] === true ? 'isolated' : 'contiguous');
    case 'Punctuation':
      return splitter(PUNCTUATION, behaviorOf(part['behavior'], 'isolated'));
    case 'Whitespace':
      return splitter(WORDS, 'removed', true);
    case 'WhitespaceSplit':
      return splitter(SPACE, 'removed');
    case 'BertPreTokenizer': {
      const words = splitter(SPACE, 'removed');
      const marks = splitter(PUNCTUATION, 'isolated');
      return (pieces) => marks(words(pieces));
    }
    case 'CharDelimiterSplit':
      return splitter(compilePattern({ String: String(part['delimiter']) }), 'removed');
    default:
      throw invalid(`The pre-tokenizer ${JSON.stringify(part.type)} is not known.`);
  }
}

function byteLevel(part: TokenizerPart): PreTokenizer {
  const prefix = part['add_prefix_space'] !== false;
  const words = part['use_regex'] === false ? null : splitter(GPT2, 'isolated');
  return (pieces) => {
    const prefixed = prefix ? pieces.map((piece) => (piece.text.startsWith(' ') ? piece : { ...piece, text: ` ${piece.text}` })) : pieces;
    const split = words === null ? prefixed : words(prefixed);
    return split.map((piece) => ({ ...piece, text: toByteCharacters(piece.text) }));
  };
}

function metaspace(part: TokenizerPart): PreTokenizer {
  const mark = typeof part['replacement'] === 'string' ? part['replacement'] : '▁';
  const scheme = metaspaceScheme(part);
  const words = part['split'] === false ? null : splitter(compilePattern({ String: mark }), 'mergedwithnext');
  return (pieces) => {
    const marked = pieces.map((piece) => {
      const text = piece.text.replaceAll(' ', mark);
      const wanted = scheme === 'always' || (scheme === 'first' && piece.atStart);
      return { ...piece, text: wanted && !text.startsWith(mark) ? mark + text : text };
    });
    return words === null ? marked : words(marked);
  };
}

/** Files from before 2024 say `add_prefix_space` where newer ones say `prepend_scheme`. */
export function metaspaceScheme(part: TokenizerPart): string {
  if (typeof part['prepend_scheme'] === 'string') return part['prepend_scheme'];
  return part['add_prefix_space'] === false ? 'never' : 'always';
}

const behaviorOf = (value: unknown, fallback: SplitBehavior): SplitBehavior => (typeof value === 'string' ? (value.toLowerCase() as SplitBehavior) : fallback);

export function splitter(pattern: RegExp, behavior: SplitBehavior, invert = false): PreTokenizer {
  return (pieces) =>
    pieces.flatMap((piece) =>
      join(spans(piece.text, pattern, invert), behavior)
        .filter((span) => span.end > span.start)
        .map((span) => ({ text: piece.text.slice(span.start, span.end), atStart: piece.atStart && span.start === 0 })),
    );
}

interface Span {
  start: number;
  end: number;
  match: boolean;
}

function spans(text: string, pattern: RegExp, invert: boolean): Span[] {
  const out: Span[] = [];
  let previous = 0;
  for (const found of text.matchAll(pattern)) {
    if (found.index > previous) out.push({ start: previous, end: found.index, match: invert });
    out.push({ start: found.index, end: found.index + found[0].length, match: !invert });
    previous = found.index + found[0].length;
  }
  if (previous < text.length) out.push({ start: previous, end: text.length, match: invert });
  return out;
}

function join(all: Span[], behavior: SplitBehavior): Span[] {
  switch (behavior) {
    case 'isolated':
      return all;
    case 'removed':
      return all.filter((span) => !span.match);
    case 'contiguous':
      return fold(all, (last, span) => last.match === span.match);
    case 'mergedwithprevious':
      return fold(all, (last, span) => span.match && !last.match);
    case 'mergedwithnext':
      return joinToNext(all);
    default:
      throw invalid(`The split behaviour ${JSON.stringify(behavior)} is not known.`);
  }
}

/** Joins a match to the span after it, from the end of the text to its beginning. */
function joinToNext(all: readonly Span[]): Span[] {
  const out: Span[] = [];
  let next: Span | null = null;
  for (const span of all.toReversed()) {
    const last = out.at(-1);
    if (span.match && last !== undefined && next?.match === false) last.start = span.start;
    else out.push({ ...span });
    next = span;
  }
  return out.reverse();
}

/** Joins a span to the one before where `joins` says so; `joins` sees the spans as they were found. */
function fold(all: readonly Span[], joins: (before: Span, span: Span) => boolean): Span[] {
  const out: Span[] = [];
  let before: Span | null = null;
  for (const span of all) {
    const last = out.at(-1);
    if (last !== undefined && before !== null && joins(before, span)) last.end = span.end;
    else out.push({ ...span });
    before = span;
  }
  return out;
}
