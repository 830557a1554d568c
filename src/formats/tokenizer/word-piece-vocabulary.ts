import { type GgufHeader, type GgufKey, ggufNumber } from '../gguf/index.ts';
import { TOKEN_TYPE } from './token-type.ts';
import { type AddedTokenEntry, invalid, type TokenizerJson, type TokenizerPart } from './tokenizer-json.ts';

/** GGUF marks the beginnings of words, WordPiece marks what continues one. */
const START = '▁';
const CONTINUED = '##';

/** Control tokens of BERT by the names of their keys in GGUF; `seperator` is how the format spells it. Begin and end are the same two. */
const MARKS = [
  ['bos', '[CLS]'],
  ['eos', '[SEP]'],
  ['cls', '[CLS]'],
  ['seperator', '[SEP]'],
  ['padding', '[PAD]'],
  ['unknown', '[UNK]'],
  ['mask', '[MASK]'],
] as const;

/** Token texts and types of a WordPiece vocabulary, and the keys of its marks. `rows`: rows of the embedding. */
export function wordPieceKeys(json: TokenizerJson, rows: number): { readonly tokens: string[]; readonly types: number[]; readonly marks: GgufKey[] } {
  if (json.model['continuing_subword_prefix'] !== undefined && json.model['continuing_subword_prefix'] !== CONTINUED)
    throw invalid('A WordPiece vocabulary that marks continued words otherwise than by ## cannot be written to GGUF.');
  if (json.normalizer?.type !== 'BertNormalizer' || json.normalizer['lowercase'] === false)
    throw invalid('A WordPiece vocabulary that tells capital letters apart cannot be written to GGUF, whose tokenizer lowers all letters.');
  const tokens = Array.from({ length: rows }, (_, id) => `[PAD${id}]`);
  const types = Array.from({ length: rows }, (): number => TOKEN_TYPE.unused);
  const special = new Map(json.added_tokens.map((entry) => [entry.id, entry]));
  const set = (id: number, token: string, type: number): void => {
    if (id >= rows) throw invalid(`The token ${JSON.stringify(token)} has id ${id}, but the embedding has ${rows} rows.`);
    tokens[id] = token;
    types[id] = type;
  };
  for (const [token, id] of Object.entries(json.model['vocab'] as Record<string, number>))
    set(id, token.startsWith(CONTINUED) ? token.slice(CONTINUED.length) : `${START}${token}`, TOKEN_TYPE.normal);
  for (const { id, content, special: isControl } of special.values()) set(id, content, isControl ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined);
  const marks = MARKS.flatMap(([name, text]): GgufKey[] => {
    const id = tokens.indexOf(text);
    return id < 0 ? [] : [{ key: `tokenizer.ggml.${name}_token_id`, type: 'u32', value: id }];
  });
  return { tokens, types, marks };
}

/** The parts of tokenizer.json for a WordPiece vocabulary of GGUF. */
export function wordPieceParts(
  header: GgufHeader,
  tokens: readonly string[],
  types: readonly number[],
): { readonly parts: Record<string, TokenizerPart | null>; readonly added: AddedTokenEntry[] } {
  const controls: readonly number[] = [TOKEN_TYPE.control, TOKEN_TYPE.userDefined, TOKEN_TYPE.unknown];
  const vocab: Record<string, number> = Object.create(null) as Record<string, number>;
  const added: AddedTokenEntry[] = [];
  tokens.forEach((token, id) => {
    if (/^\[PAD\d+\]$/.test(token)) return;
    // Some files give their marks the type of words.
    const isMark = controls.includes(types[id]!) || MARKS.some(([, text]) => text === token);
    if (isMark)
      added.push({ id, content: token, single_word: false, lstrip: false, rstrip: false, normalized: false, special: types[id] !== TOKEN_TYPE.userDefined });
    vocab[isMark ? token : token.startsWith(START) ? token.slice(START.length) : `${CONTINUED}${token}`] = id;
  });
  const mark = (name: string, text: string) => {
    const id = ggufNumber(header, `tokenizer.ggml.${name}_token_id`) ?? tokens.indexOf(text);
    const found = tokens[id];
    if (found === undefined) throw invalid(`The WordPiece vocabulary of the GGUF file has no ${text}.`);
    return { id: found, ids: [id], tokens: [found] };
  };
  const [cls, sep] = [mark('cls', '[CLS]'), mark('seperator', '[SEP]')];
  const special = ({ id }: { readonly id: string }, type: number) => ({ SpecialToken: { id, type_id: type } });
  const sequence = (id: string, type: number) => ({ Sequence: { id, type_id: type } });
  const single = [special(cls, 0), sequence('A', 0), special(sep, 0)];
  return {
    added,
    parts: {
      normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: {
        type: 'TemplateProcessing',
        single,
        pair: [...single, sequence('B', 1), special(sep, 1)],
        special_tokens: { [cls.id]: cls, [sep.id]: sep },
      },
      decoder: { type: 'WordPiece', prefix: CONTINUED, cleanup: true },
      model: { type: 'WordPiece', unk_token: mark('unknown', '[UNK]').id, continuing_subword_prefix: CONTINUED, max_input_chars_per_word: 100, vocab },
    },
  };
}
