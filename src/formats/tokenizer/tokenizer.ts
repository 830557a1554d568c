import { type AroundText, aroundText } from './around-text.ts';
import { createDecoder } from './decoder.ts';
import { createDetokenizer, type Detokenizer } from './detokenizer.ts';
import { createEncoder, type TextSegment } from './encoder.ts';
import { readTokenizerFiles, type TokenizerFiles } from './tokenizer-files.ts';
import { invalid } from './tokenizer-json.ts';

export interface Tokenizer {
  /** Highest id + 1. The embedding of the model may have more rows. */
  readonly vocabularySize: number;
  /** Ids of a text. `special`: texts of control tokens become those tokens; otherwise they are ordinary text. No BOS is added. */
  encode(text: string, options: { readonly special: boolean }): number[];
  /**
   * Ids of a rendered prompt. Control tokens are recognised only inside segments with `special`; words may run across borders
   * as if the text were one. `addBos` puts one BOS in front unless there is one already (default: no).
   */
  encodeSegments(segments: readonly TextSegment[], options?: { readonly addBos?: boolean }): number[];
  /** UTF-8 bytes that the token stands for where it follows another; none for ids outside the vocabulary. */
  tokenBytes(id: number): Uint8Array;
  decode(ids: readonly number[], options: { readonly skipSpecial: boolean }): string;
  /** Text as tokens come in: characters whose bytes are not complete are held back. The parts join to what `decode` gives. */
  createDetokenizer(options: {
    readonly skipSpecial: boolean /** Control tokens whose text is given nevertheless. */;
    readonly shown?: ReadonlySet<number>;
  }): Detokenizer;
  isSpecial(id: number): boolean;
  /** The token that the vocabulary writes so; null: none. */
  idOf(text: string): number | null;
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly bosId: number | null;
  /** Ids that end an answer: of generation_config.json, config.json and tokenizer_config.json together. */
  readonly eosIds: readonly number[];
  /** Whether a prompt without a chat template gets a BOS. */
  readonly addBos: boolean;
  readonly chatTemplate: string | null;
  /** `tool_parser_type` of tokenizer_config.json. */
  readonly toolParser: string | null;
  /** Control tokens that its files put around a single text (an input of an embedding model). */
  readonly aroundText: AroundText;
}

/**
 * Loads the tokenizer of a checkpoint directory: tokenizer.json (byte-level and byte-fallback BPE, Unigram, WordPiece),
 * tokenizer_config.json, generation_config.json, config.json, chat_template.jinja or .json.
 * Throws `tokenizer_invalid`, naming the file.
 */
export async function loadTokenizer(directory: string): Promise<Tokenizer> {
  return createTokenizer(await readTokenizerFiles(directory));
}

export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const encoder = createEncoder(files.json);
  const decoder = createDecoder(files.json.decoder);
  const added = new Map(files.json.added_tokens.map((entry) => [entry.id, entry]));
  const idOf = (text: string): number | null => {
    const id = files.json.added_tokens.find((entry) => entry.content === text)?.id ?? encoder.model.tokens.indexOf(text);
    return id < 0 ? null : id;
  };
  const vocabularySize = Math.max(encoder.model.tokens.length, ...[...added.keys()].map((id) => id + 1));
  const resolve = (token: string | number): number | null => {
    const id = typeof token === 'number' ? token : idOf(token);
    return id === null || id >= vocabularySize ? null : id;
  };
  const bosId = files.bos === null ? null : resolve(files.bos);
  const specialTokens = new Map(files.json.added_tokens.filter((entry) => entry.special).map((entry) => [entry.content, entry.id]));
  const isSpecial = (id: number) => added.get(id)?.special === true;

  const utf8 = new TextEncoder();
  const none = new Uint8Array();
  const bytesAt = (id: number, first: boolean): Uint8Array => {
    const token = added.get(id)?.content;
    if (token !== undefined) return first || encoder.model.kind !== 'WordPiece' ? utf8.encode(token) : utf8.encode(` ${token}`);
    const text = encoder.model.tokens[id];
    if (text === undefined) return none;
    return first ? decoder.firstBytes(text) : decoder.bytes(text);
  };
  const detokenizer = (skipSpecial: boolean, shown?: ReadonlySet<number>) =>
    createDetokenizer({ bytesAt, skip: (id) => skipSpecial && isSpecial(id) && shown?.has(id) !== true, stripsFirstSpace: decoder.stripsFirstSpace });

  return {
    vocabularySize,
    encode: (text, options) => encoder.encode([{ text, special: options.special }]),
    encodeSegments(segments, options = {}) {
      const ids = encoder.encode(segments);
      if (options.addBos === true && bosId === null) throw invalid('The prompt is to begin with a BOS token, but the tokenizer has none.');
      return options.addBos === true && ids[0] !== bosId ? [bosId!, ...ids] : ids;
    },
    tokenBytes: (id) => bytesAt(id, false),
    decode(ids, options) {
      const stream = detokenizer(options.skipSpecial);
      return ids.map((id) => stream.push(id)).join('') + stream.flush();
    },
    createDetokenizer: (options) => detokenizer(options.skipSpecial, options.shown),
    isSpecial,
    idOf,
    specialTokens,
    bosId,
    eosIds: [...new Set(files.eos.map(resolve).filter((id) => id !== null))],
    addBos: files.addBos && bosId !== null,
    chatTemplate: files.chatTemplate,
    toolParser: files.toolParser ?? null,
    aroundText: aroundText(files.json.post_processor),
  };
}
