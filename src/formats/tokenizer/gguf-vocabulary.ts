import { HearthError } from '../../core/index.ts';
import { type GgufHeader, ggufBoolean, ggufNumber, ggufNumbers, ggufString, ggufStrings } from '../gguf/index.ts';
import { preTokenizerByName } from './pre-tokenizer-table.ts';
import { TOKEN_TYPE } from './token-type.ts';
import { type AddedTokenEntry, invalid, type TokenizerPart } from './tokenizer-json.ts';
import { wordPieceParts } from './word-piece-vocabulary.ts';

/** The files of a checkpoint that describe its tokenizer, as JSON values. */
export interface VocabularyFiles {
  readonly tokenizer: Record<string, unknown>;
  readonly tokenizerConfig: Record<string, unknown>;
  readonly generationConfig: Record<string, unknown>;
}

interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly bos: string | null;
  readonly addBos: boolean;
}

/**
 * Turns the vocabulary keys of a GGUF header into tokenizer.json and its companions (docs/spec/formats.md §4).
 * Throws `tokenizer_invalid` where keys are missing, `tokenizer_pre_unknown` where the pre-tokenizer is not in the table.
 */
export function vocabularyFromGguf(header: GgufHeader): VocabularyFiles {
  const tokens = ggufStrings(header, 'tokenizer.ggml.tokens');
  if (tokens === undefined) throw invalid('The GGUF file has no vocabulary.');
  const kind = ggufString(header, 'tokenizer.ggml.model');
  const types = ggufNumbers(header, 'tokenizer.ggml.token_type') ?? tokens.map(() => TOKEN_TYPE.normal);
  const token = (name: string) => tokens[ggufNumber(header, `tokenizer.ggml.${name}_token_id`) ?? -1] ?? null;
  if (kind === 'bert') return wordPiece(header, tokens, types);
  const isByteLevel = kind === 'gpt2';
  if (!isByteLevel && kind !== 'llama') throw invalid(`The vocabulary kind ${JSON.stringify(kind)} of the GGUF file is not supported.`);
  const pre = isByteLevel ? findPreTokenizer(header) : undefined;
  const vocabulary = { tokens, types, bos: token('bos'), addBos: ggufBoolean(header, 'tokenizer.ggml.add_bos_token') ?? pre?.addBos ?? true };

  const parts = pre === undefined ? sentencePiece(header, vocabulary) : byteLevel(header, vocabulary, pre);
  const ends = endIds(header, tokens, types);
  const config = { bos_token: vocabulary.bos, eos_token: token('eos'), unk_token: token('unknown'), pad_token: token('padding') };
  const bosId = ggufNumber(header, 'tokenizer.ggml.bos_token_id');
  const template = ggufString(header, 'tokenizer.chat_template');
  const added = addedTokens(vocabulary);
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: added,
      ...parts,
      model: withAdded(parts.model, added),
      post_processor: vocabulary.addBos && vocabulary.bos !== null ? bosTemplate(vocabulary.bos, bosId!) : null,
    },
    tokenizerConfig: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null)),
      add_bos_token: vocabulary.addBos && vocabulary.bos !== null,
      clean_up_tokenization_spaces: false,
      ...(template === undefined ? {} : { chat_template: template }),
    },
    generationConfig: {
      ...(bosId === undefined ? {} : { bos_token_id: bosId }),
      ...(ends.length === 0 ? {} : { eos_token_id: new Set(ends).size === 1 ? ends[0] : [...new Set(ends)] }),
    },
  };
}

function wordPiece(header: GgufHeader, tokens: readonly string[], types: readonly number[]): VocabularyFiles {
  const { parts, added } = wordPieceParts(header, tokens, types);
  return {
    tokenizer: { version: '1.0', truncation: null, padding: null, added_tokens: added, ...parts },
    tokenizerConfig: { tokenizer_class: 'BertTokenizer', do_lower_case: true, clean_up_tokenization_spaces: true },
    generationConfig: {},
  };
}

/** Texts that end a turn in the templates of published models; files from before 2024 do not name the token by a key. */
const TURN_ENDS = ['<|eot_id|>', '<|im_end|>', '<|end|>', '<end_of_turn>', '<|endoftext|>', '<|end_of_text|>', '<EOT>', '<｜end▁of▁sentence｜>'];

function endIds(header: GgufHeader, tokens: readonly string[], types: readonly number[]): number[] {
  const named = ['eos', 'eot', 'eom'].map((name) => ggufNumber(header, `tokenizer.ggml.${name}_token_id`)).filter((id) => id !== undefined);
  // hearth's own files name all that the source had.
  if (header.keys.has('tokenizer.ggml.eot_token_id') || header.keys.has('hearth.converter_version')) return named;
  const found = TURN_ENDS.map((text) => tokens.indexOf(text)).find((id) => id >= 0 && types[id] === TOKEN_TYPE.control);
  return found === undefined ? named : [...named, found];
}

function findPreTokenizer(header: GgufHeader) {
  const name = ggufString(header, 'tokenizer.ggml.pre');
  const found = name === undefined ? undefined : preTokenizerByName(name);
  if (found !== undefined) return found;
  const what = name === undefined ? 'does not name its pre-tokenizer' : `names the pre-tokenizer ${JSON.stringify(name)}`;
  throw new HearthError('tokenizer_pre_unknown', `The GGUF file ${what}; hearth does not know how it splits text, and does not guess.`);
}

type Parts = { normalizer: TokenizerPart | null; pre_tokenizer: TokenizerPart | null; decoder: TokenizerPart; model: TokenizerPart };

function byteLevel(header: GgufHeader, vocabulary: Vocabulary, pre: NonNullable<ReturnType<typeof preTokenizerByName>>): Parts {
  const merges = ggufStrings(header, 'tokenizer.ggml.merges');
  if (merges === undefined) throw invalid('The GGUF file has a byte-level vocabulary without merges.');
  return {
    normalizer: pre.normalizer,
    pre_tokenizer: pre.preTokenizer,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: bpeModel({
      vocab: modelVocabulary(vocabulary, [TOKEN_TYPE.normal, TOKEN_TYPE.unused, TOKEN_TYPE.byte]),
      merges: merges.map(splitMerge),
      ignore_merges: pre.ignoreMerges,
    }),
  };
}

/** A SentencePiece vocabulary without its model file: scores give the order of the merges. */
function sentencePiece(header: GgufHeader, vocabulary: Vocabulary): Parts {
  const scores = ggufNumbers(header, 'tokenizer.ggml.scores');
  if (scores === undefined) throw invalid('The GGUF file has a SentencePiece vocabulary without scores.');
  const vocab = modelVocabulary(vocabulary, [TOKEN_TYPE.normal, TOKEN_TYPE.unknown, TOKEN_TYPE.unused, TOKEN_TYPE.byte]);
  const prefix = ggufBoolean(header, 'tokenizer.ggml.add_space_prefix') ?? true;
  const unknown = vocabulary.tokens[vocabulary.types.indexOf(TOKEN_TYPE.unknown)];
  const spaces: TokenizerPart = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const decoders: TokenizerPart[] = [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }];
  return {
    normalizer: prefix ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, spaces] } : spaces,
    pre_tokenizer: null,
    decoder: { type: 'Sequence', decoders: prefix ? [...decoders, { type: 'Strip', content: ' ', start: 1, stop: 0 }] : decoders },
    model: bpeModel({
      vocab,
      merges: mergesByScore(vocabulary, scores),
      ignore_merges: false,
      byte_fallback: vocabulary.types.includes(TOKEN_TYPE.byte),
      fuse_unk: true,
      unk_token: unknown ?? null,
    }),
  };
}

/** Every way to put a piece together from two others, best piece first: what SentencePiece would merge next. */
export function mergesByScore(vocabulary: Pick<Vocabulary, 'tokens' | 'types'>, scores: readonly number[]): [string, string][] {
  const ids = new Map<string, number>();
  vocabulary.tokens.forEach((token, id) => {
    if (vocabulary.types[id] === TOKEN_TYPE.normal || vocabulary.types[id] === TOKEN_TYPE.unused) ids.set(token, id);
  });
  const found: { pair: [string, string]; score: number }[] = [];
  for (const [token, id] of ids) {
    if (vocabulary.types[id] !== TOKEN_TYPE.normal) continue;
    const characters = [...token];
    for (let cut = 1, left = characters[0]!; cut < characters.length; left += characters[cut]!, cut += 1) {
      const right = token.slice(left.length);
      if (ids.has(left) && ids.has(right)) found.push({ pair: [left, right], score: scores[id]! });
    }
  }
  return found.toSorted((a, b) => b.score - a.score).map(({ pair }) => pair);
}

const bpeModel = (settings: Record<string, unknown>): TokenizerPart => ({
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ...settings,
});

function modelVocabulary(vocabulary: Vocabulary, types: readonly number[]): Record<string, number> {
  const vocab: Record<string, number> = Object.create(null) as Record<string, number>;
  vocabulary.tokens.forEach((token, id) => {
    // Rows that only fill up the embedding have no text of their own.
    if (types.includes(vocabulary.types[id]!) && !/^\[PAD\d+\]$/.test(token)) vocab[token] = id;
  });
  return vocab;
}

/**
 * The reference library numbers added tokens that the model does not list from the model's size on, whatever ids they bring: so where they do not
 * stand there, the model lists them.
 */
function withAdded(model: TokenizerPart, added: readonly AddedTokenEntry[]): TokenizerPart {
  const vocab = model['vocab'] as Readonly<Record<string, number>>;
  const size = Object.keys(vocab).length;
  if (added.every(({ id, content }, i) => id === size + i || vocab[content] === id)) return model;
  const whole = Object.assign(Object.create(null) as Record<string, number>, vocab);
  for (const { content, id } of added) whole[content] = id;
  return { ...model, vocab: whole };
}

/** Merges have one space between their halves; a half may begin with a space only where it has no byte alphabet. */
function splitMerge(merge: string): [string, string] {
  const cut = merge.indexOf(' ', 1);
  if (cut < 0) throw invalid(`The GGUF file has the broken merge ${JSON.stringify(merge)}.`);
  return [merge.slice(0, cut), merge.slice(cut + 1)];
}

function addedTokens({ tokens, types }: Vocabulary): AddedTokenEntry[] {
  const kinds: readonly number[] = [TOKEN_TYPE.unknown, TOKEN_TYPE.control, TOKEN_TYPE.userDefined];
  return tokens.flatMap((content, id) => {
    if (!kinds.includes(types[id]!)) return [];
    return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: types[id] !== TOKEN_TYPE.userDefined };
  });
}

const bosTemplate = (bos: string, id: number): TokenizerPart => {
  const start = { SpecialToken: { id: bos, type_id: 0 } };
  const sequence = (name: string, type: number) => ({ Sequence: { id: name, type_id: type } });
  return {
    type: 'TemplateProcessing',
    single: [start, sequence('A', 0)],
    pair: [start, sequence('A', 0), { SpecialToken: { id: bos, type_id: 1 } }, sequence('B', 1)],
    special_tokens: { [bos]: { id: bos, ids: [id], tokens: [bos] } },
  };
};
