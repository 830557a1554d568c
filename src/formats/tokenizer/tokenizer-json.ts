import { HearthError, isJsonObject } from '../../core/index.ts';

/** A part of tokenizer.json: an object with a type and settings that differ by type. */
export interface TokenizerPart {
  readonly type: string;
  readonly [setting: string]: unknown;
}

export interface AddedTokenEntry {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
}

/** tokenizer.json as far as hearth reads it; padding and truncation are left to the caller of a model. */
export interface TokenizerJson {
  readonly added_tokens: readonly AddedTokenEntry[];
  readonly normalizer: TokenizerPart | null;
  readonly pre_tokenizer: TokenizerPart | null;
  readonly post_processor: TokenizerPart | null;
  readonly decoder: TokenizerPart | null;
  readonly model: TokenizerPart;
}

export const invalid = (message: string): HearthError => new HearthError('tokenizer_invalid', message);

/** Checks the outline of a parsed tokenizer.json; throws `tokenizer_invalid`. */
export function readTokenizerJson(value: unknown, where: string): TokenizerJson {
  if (!isJsonObject(value)) throw invalid(`${where} is not a JSON object.`);
  const part = (name: string): TokenizerPart | null => {
    const found = value[name] ?? null;
    if (found === null) return null;
    if (!isJsonObject(found)) throw invalid(`${where}: ${name} is not an object.`);
    return { ...found, type: typeof found['type'] === 'string' ? found['type'] : '' };
  };
  const model = part('model');
  if (model === null) throw invalid(`${where} has no model.`);
  const entries = value['added_tokens'] ?? [];
  if (!Array.isArray(entries)) throw invalid(`${where}: added_tokens is not a list.`);
  return {
    added_tokens: entries.map((entry) => readAddedToken(entry, where)),
    normalizer: part('normalizer'),
    pre_tokenizer: part('pre_tokenizer'),
    post_processor: part('post_processor'),
    decoder: part('decoder'),
    model: { ...model, type: model.type === '' ? guessModel(model) : model.type },
  };
}

function readAddedToken(entry: unknown, where: string): AddedTokenEntry {
  if (
    !isJsonObject(entry) ||
    typeof entry['content'] !== 'string' ||
    !Number.isInteger(entry['id']) ||
    (entry['id'] as number) < 0 ||
    (entry['id'] as number) >= 2 ** 24
  ) {
    throw invalid(`${where}: an added token lacks its id or content.`);
  }
  const special = entry['special'] === true;
  return {
    id: entry['id'] as number,
    content: entry['content'],
    special,
    single_word: entry['single_word'] === true,
    lstrip: entry['lstrip'] === true,
    rstrip: entry['rstrip'] === true,
    normalized: typeof entry['normalized'] === 'boolean' ? entry['normalized'] : !special,
  };
}

/** Files from before 2021 do not name the type of their model. */
function guessModel(model: TokenizerPart): string {
  if (Array.isArray(model['vocab'])) return 'Unigram';
  return model['merges'] === undefined ? 'WordPiece' : 'BPE';
}
