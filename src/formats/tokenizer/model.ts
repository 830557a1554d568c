import { isJsonObject } from '../../core/index.ts';
import { BPE, Unigram, WordPiece } from './library.ts';
import { invalid, type TokenizerPart } from './tokenizer-json.ts';

/** Turns pre-tokenised words into ids. */
export interface TokenizerModel {
  /** Token text by id; holes are undefined. Added tokens are not in it. */
  readonly tokens: readonly (string | undefined)[];
  readonly kind: 'BPE' | 'Unigram' | 'WordPiece';
  encode(words: readonly string[]): number[];
}

/** No well-formed text holds a lone surrogate, so a piece of this name is never matched. */
const UNREACHABLE = '\ud800';

/**
 * Builds the model of tokenizer.json on the library's merge, lattice and longest-match code.
 * `special`: texts of control tokens. They are taken out of the vocabulary, so that no plain text can ever become one.
 */
export function createModel(part: TokenizerPart, special: ReadonlySet<string>): TokenizerModel {
  switch (part.type) {
    case 'BPE':
      return bpe(part, special);
    case 'Unigram':
      return unigram(part, special);
    case 'WordPiece':
      return wordPiece(part, special);
    default:
      throw invalid(`The tokenizer model ${JSON.stringify(part.type)} is not known.`);
  }
}

function bpe(part: TokenizerPart, special: ReadonlySet<string>): TokenizerModel {
  if (part['continuing_subword_prefix']) throw invalid('BPE with a prefix for continued words is not supported.');
  const { vocabulary, ids, tokens } = readVocabulary(part);
  if (!Array.isArray(part['merges'])) throw invalid('The BPE model has no merges.');
  const lengths = new Set(Array.from(special, (token) => token.length));
  const merges: (readonly [string, string])[] = [];
  for (const merge of part['merges'] as unknown[]) {
    const pair = readMerge(merge);
    // Most merges are told apart by their length alone, without building the merged text.
    if (!lengths.has(pair[0].length + pair[1].length) || !special.has(pair[0] + pair[1])) merges.push(pair);
  }
  // Without its merge a token can still be reached as a whole word or as a single character.
  const reached = [...special].some((token) => ids.has(token) && (part['ignore_merges'] === true || [...token].length === 1));
  const build = () => new BPE({ ...part, unk_token: part['unk_token'] ?? undefined, vocab: reached ? without(vocabulary, special) : vocabulary, merges });
  /** Ranks of hundreds of thousands of merges: made with the first text, so that loading does not wait for them. */
  let model: ((words: string[]) => string[]) | undefined;
  const merge = (words: readonly string[]): string[] => {
    model ??= build();
    return model([...words]);
  };
  return { tokens, kind: 'BPE', encode: (words) => toIds(merge(words), ids, part['unk_token']) };
}

function wordPiece(part: TokenizerPart, special: ReadonlySet<string>): TokenizerModel {
  const { vocabulary, ids, tokens } = readVocabulary(part);
  const model = new WordPiece({ continuing_subword_prefix: '##', ...part, vocab: without(vocabulary, special) });
  return { tokens, kind: 'WordPiece', encode: (words) => toIds(model([...words]), ids, part['unk_token']) };
}

function unigram(part: TokenizerPart, special: ReadonlySet<string>): TokenizerModel {
  const entries = part['vocab'];
  if (!Array.isArray(entries) || entries.length === 0) throw invalid('The Unigram model has no vocabulary.');
  const pieces = entries.map((entry): [string, number] => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string' || typeof entry[1] !== 'number') throw invalid('The Unigram model has a broken entry.');
    return [entry[0], entry[1]];
  });
  const unknown = typeof part['unk_id'] === 'number' ? part['unk_id'] : undefined;
  const reachable = pieces.map(([piece, score], id): [string, number] => [special.has(piece) ? `${UNREACHABLE}${id}` : piece, score]);
  const model = new Unigram({ ...part, vocab: reachable } as never, '');
  const ids = new Map(reachable.map(([piece], id) => [piece, id]));
  const byteFallback = part['byte_fallback'] === true;
  const byteIds = byteFallback ? pieces.reduce((found, [piece], id) => found.set(piece, id), new Map<string, number>()) : null;
  const encodeWord = (word: string): number[] => {
    const out: number[] = [];
    let missing = '';
    const flush = () => {
      if (missing !== '') out.push(...unknownIds(missing, byteIds, unknown));
      missing = '';
    };
    for (const piece of model.tokenize(word)) {
      const id = ids.get(piece);
      if (id === undefined) {
        missing += piece;
        continue;
      }
      flush();
      out.push(id);
    }
    flush();
    return out;
  };
  return { tokens: pieces.map(([piece]) => piece), kind: 'Unigram', encode: (words) => words.flatMap(encodeWord) };
}

/** A run of characters without a piece is one unknown token, or its bytes. */
function unknownIds(text: string, byteIds: ReadonlyMap<string, number> | null, unknown: number | undefined): number[] {
  if (byteIds !== null) {
    const bytes = Array.from(new TextEncoder().encode(text), (byte) => byteIds.get(byteToken(byte)));
    if (bytes.every((id) => id !== undefined)) return bytes;
  }
  if (unknown === undefined) throw invalid('The text has a character that the vocabulary cannot express, and the vocabulary has no unknown token.');
  return [unknown];
}

/** Spelling of the token that stands for one byte. */
export const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;

/** Far above every vocabulary; a larger id would only make tables of holes. */
const MAX_ID = 2 ** 24;

interface Vocabulary {
  readonly vocabulary: Readonly<Record<string, number>>;
  readonly ids: ReadonlyMap<string, number>;
  readonly tokens: readonly (string | undefined)[];
}

/** Walks over the vocabulary once: lists of the entries of an object of a hundred thousand keys take longer to make than all else here. */
function readVocabulary(part: TokenizerPart): Vocabulary {
  const vocabulary = part['vocab'];
  if (!isJsonObject(vocabulary)) throw invalid(`The ${part.type} model has no vocabulary.`);
  const ids = new Map<string, number>();
  const tokens: (string | undefined)[] = [];
  for (const token in vocabulary) {
    const id = vocabulary[token] as number;
    if (!Number.isInteger(id) || id < 0 || id >= MAX_ID) throw invalid(`The token ${JSON.stringify(token)} has no usable id.`);
    ids.set(token, id);
    tokens[id] = token;
  }
  return { vocabulary: vocabulary as Record<string, number>, ids, tokens };
}

function readMerge(merge: unknown): [string, string] {
  const pair = typeof merge === 'string' ? merge.split(' ') : merge;
  if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string' || typeof pair[1] !== 'string')
    throw invalid('The BPE model has a broken merge.');
  return pair as [string, string];
}

const without = (vocabulary: Readonly<Record<string, number>>, special: ReadonlySet<string>): Record<string, number> =>
  Object.fromEntries(Object.entries(vocabulary).filter(([token]) => !special.has(token)));

function toIds(tokens: readonly string[], ids: ReadonlyMap<string, number>, unknownToken: unknown): number[] {
  const unknown = typeof unknownToken === 'string' ? ids.get(unknownToken) : undefined;
  return tokens.map((token) => {
    const id = ids.get(token) ?? unknown;
    if (id === undefined) throw invalid(`The text has the part ${JSON.stringify(token)}, which the vocabulary cannot express.`);
    return id;
  });
}
