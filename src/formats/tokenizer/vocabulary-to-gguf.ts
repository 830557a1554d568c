import { HearthError, isJsonObject } from '../../core/index.ts';
import type { GgufKey } from '../gguf/index.ts';
import { CHARACTER_OF_BYTE } from './byte-level.ts';
import { metaspaceScheme } from './pre-tokenizer.ts';
import { preTokenizerByPart } from './pre-tokenizer-table.ts';
import { TOKEN_TYPE } from './token-type.ts';
import { createTokenizer } from './tokenizer.ts';
import { readTokenizerFiles, type TokenizerFiles } from './tokenizer-files.ts';
import { invalid, type TokenizerJson, type TokenizerPart } from './tokenizer-json.ts';
import { wordPieceKeys } from './word-piece-vocabulary.ts';

/**
 * The vocabulary keys of GGUF for the tokenizer of a checkpoint (docs/spec/formats.md §4). `rows`: rows of the embedding; ids
 * without a token become `[PAD<id>]`. Throws `tokenizer_pre_unknown` where llama.cpp has no name for the pre-tokenizer,
 * `tokenizer_invalid` for a kind that GGUF cannot hold.
 */
export async function vocabularyToGguf(directory: string, rows: number): Promise<GgufKey[]> {
  return vocabularyKeys(await readTokenizerFiles(directory), rows);
}

export function vocabularyKeys(files: TokenizerFiles, rows: number): GgufKey[] {
  const { json } = files;
  if (json.model.type === 'WordPiece') return bertKeys(json, rows);
  if (json.model.type !== 'BPE') throw invalid(`A ${json.model.type} vocabulary cannot be written to GGUF.`);
  const isByteLevel = json.decoder?.type === 'ByteLevel';
  const { tokens, types } = listTokens(json, rows, isByteLevel);
  const tokenizer = createTokenizer(files);
  const text = (key: string, value: string): GgufKey => ({ key: `tokenizer.${key}`, type: 'string', value });
  const list = (key: string, type: GgufKey['type'], value: readonly (string | number)[]): GgufKey => ({ key: `tokenizer.ggml.${key}`, type, value });
  const id = (key: string, value: number | null | undefined): GgufKey[] =>
    value === null || value === undefined ? [] : [{ key: `tokenizer.ggml.${key}_token_id`, type: 'u32', value }];
  const ends = endIds(files, tokenizer.eosIds);
  return [
    text('ggml.model', isByteLevel ? 'gpt2' : 'llama'),
    text('ggml.pre', isByteLevel ? preName(json.pre_tokenizer, json.model['ignore_merges'] === true) : 'default'),
    list('tokens', 'string', tokens),
    ...(isByteLevel ? [] : [list('scores', 'f32', scoresOf(json, tokens, types))]),
    list('token_type', 'i32', types),
    ...(isByteLevel
      ? [
          list(
            'merges',
            'string',
            mergesOf(json).map((pair) => pair.join(' ')),
          ),
        ]
      : []),
    ...id('bos', tokenizer.bosId),
    ...id('eos', ends[0]),
    ...id('eot', ends[1]),
    ...id('eom', ends[2]),
    ...id('unknown', types.indexOf(TOKEN_TYPE.unknown) < 0 ? null : types.indexOf(TOKEN_TYPE.unknown)),
    { key: 'tokenizer.ggml.add_bos_token', type: 'bool', value: tokenizer.addBos },
    { key: 'tokenizer.ggml.add_space_prefix', type: 'bool', value: addsSpace(json) },
    ...(tokenizer.chatTemplate === null ? [] : [text('chat_template', tokenizer.chatTemplate)]),
  ];
}

function bertKeys(json: TokenizerJson, rows: number): GgufKey[] {
  const { tokens, types, marks } = wordPieceKeys(json, rows);
  return [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'bert' },
    { key: 'tokenizer.ggml.pre', type: 'string', value: 'default' },
    { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens },
    { key: 'tokenizer.ggml.token_type', type: 'i32', value: types },
    ...marks,
  ];
}

/**
 * A vocabulary without meaning, for weights that have no tokenizer: other engines refuse to load a model without one.
 * The 256 bytes, then `[PAD<id>]`.
 */
export function placeholderVocabulary(rows: number): GgufKey[] {
  const tokens = Array.from({ length: rows }, (_, id) => CHARACTER_OF_BYTE[id] ?? `[PAD${id}]`);
  return [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'gpt2' },
    { key: 'tokenizer.ggml.pre', type: 'string', value: 'gpt-2' },
    { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens },
    { key: 'tokenizer.ggml.token_type', type: 'i32', value: tokens.map(() => TOKEN_TYPE.normal) },
    { key: 'tokenizer.ggml.merges', type: 'string', value: [`${tokens[0]} ${tokens[1] ?? tokens[0]}`] },
    { key: 'tokenizer.ggml.add_bos_token', type: 'bool', value: false },
  ];
}

function preName(part: TokenizerPart | null, ignoreMerges: boolean): string {
  const found = preTokenizerByPart(part, ignoreMerges);
  if (found !== undefined) return found.names[0]!;
  throw new HearthError(
    'tokenizer_pre_unknown',
    'The pre-tokenizer of tokenizer.json has no name in GGUF that hearth knows; a guess would change the ids of texts.',
  );
}

function listTokens(json: TokenizerJson, rows: number, isByteLevel: boolean): { tokens: string[]; types: number[] } {
  const tokens = Array.from({ length: rows }, (_, id) => `[PAD${id}]`);
  const types = Array.from({ length: rows }, (): number => TOKEN_TYPE.unused);
  const unknown = json.model['unk_token'];
  const set = (id: number, token: string, type: number) => {
    if (id >= rows) throw invalid(`The token ${JSON.stringify(token)} has id ${id}, but the embedding has ${rows} rows.`);
    tokens[id] = token;
    types[id] = type;
  };
  for (const [token, id] of Object.entries(json.model['vocab'] as Record<string, number>)) {
    const isByte = !isByteLevel && /^<0x[0-9A-F]{2}>$/.test(token);
    set(id, token, token === unknown ? TOKEN_TYPE.unknown : isByte ? TOKEN_TYPE.byte : TOKEN_TYPE.normal);
  }
  for (const entry of json.added_tokens) {
    set(entry.id, entry.content, entry.content === unknown ? TOKEN_TYPE.unknown : entry.special ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined);
  }
  return { tokens, types };
}

/** tokenizer_config.json names the usual end; llama.cpp takes up to three ids as ends. */
function endIds(files: TokenizerFiles, eosIds: readonly number[]): number[] {
  const named = files.eos.find((eos) => typeof eos === 'string');
  const first = named === undefined ? undefined : idOf(files.json, named);
  return [...new Set([...(first === undefined ? [] : [first]), ...eosIds])].slice(0, 3);
}

function idOf(json: TokenizerJson, token: string): number | undefined {
  const vocabulary = json.model['vocab'] as Record<string, number>;
  return json.added_tokens.find((entry) => entry.content === token)?.id ?? (Object.hasOwn(vocabulary, token) ? vocabulary[token] : undefined);
}

const mergesOf = (json: TokenizerJson): [string, string][] =>
  (json.model['merges'] as unknown[]).map((merge) => (typeof merge === 'string' ? (merge.split(' ') as [string, string]) : (merge as [string, string])));

/** SentencePiece merges the best piece first: the earlier a piece's first merge, the higher its score. */
function scoresOf(json: TokenizerJson, tokens: readonly string[], types: readonly number[]): number[] {
  const rank = new Map<string, number>();
  for (const [index, pair] of mergesOf(json).entries()) if (!rank.has(pair.join(''))) rank.set(pair.join(''), index);
  return tokens.map((token, id) => {
    if (types[id] === TOKEN_TYPE.userDefined || types[id] === TOKEN_TYPE.unused) return -1000;
    return types[id] === TOKEN_TYPE.normal ? -(rank.get(token) ?? rank.size) : 0;
  });
}

function addsSpace(json: TokenizerJson): boolean {
  if (json.pre_tokenizer?.type === 'Metaspace') return metaspaceScheme(json.pre_tokenizer) !== 'never';
  const steps: unknown = json.normalizer?.type === 'Sequence' ? json.normalizer['normalizers'] : [json.normalizer];
  return Array.isArray(steps) && steps.some((step) => isJsonObject(step) && step['type'] === 'Prepend');
}
