import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError, isJsonObject } from '../../core/index.ts';
import { readSentencePieceModel } from './sentencepiece-model.ts';
import { type AddedTokenEntry, invalid, readTokenizerJson, type TokenizerJson, type TokenizerPart } from './tokenizer-json.ts';

/** What a checkpoint's files say about its tokenizer, before token texts are turned into ids. */
export interface TokenizerFiles {
  readonly json: TokenizerJson;
  readonly bos: string | number | null;
  readonly eos: readonly (string | number)[];
  readonly addBos: boolean;
  readonly chatTemplate: string | null;
  /** How the model writes tool calls, where its files name it. */
  readonly toolParser?: string | null;
}

/** Reads tokenizer.json, or else tokenizer.model, and the files beside it; throws `tokenizer_invalid` naming the file. */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  const optional = async (name: string) => (await readJson(join(directory, name))) ?? {};
  const config = await optional('tokenizer_config.json');
  const { json, pieces } = await readTokenizer(directory, config, await optional('added_tokens.json'));
  const generation = await optional('generation_config.json');
  const model = await optional('config.json');
  const map = await optional('special_tokens_map.json');
  const bos = tokenName(config['bos_token']) ?? tokenName(map['bos_token']) ?? firstId(model['bos_token_id']) ?? pieces?.bos ?? null;
  return {
    json,
    bos,
    eos: [
      ...idList(generation['eos_token_id']),
      ...idList(model['eos_token_id']),
      ...(isJsonObject(model['text_config']) ? idList(model['text_config']['eos_token_id']) : []),
      ...[tokenName(config['eos_token']) ?? tokenName(map['eos_token']) ?? pieces?.eos ?? null].filter((name) => name !== null),
    ],
    addBos:
      typeof config['add_bos_token'] === 'boolean' ? config['add_bos_token'] : bos !== null && (pieces?.addBos ?? startsWithToken(json.post_processor, bos)),
    chatTemplate: await readChatTemplate(directory, config),
    toolParser: typeof config['tool_parser_type'] === 'string' ? config['tool_parser_type'] : null,
  };
}

/** What only a SentencePiece file says: its own marks of begin and end, and that BPE vocabularies of this kind begin a text with one. */
interface PieceMarks {
  readonly bos: number | null;
  readonly eos: number | null;
  readonly addBos: boolean;
}

async function readTokenizer(
  directory: string,
  config: Readonly<Record<string, unknown>>,
  added: Readonly<Record<string, unknown>>,
): Promise<{ readonly json: TokenizerJson; readonly pieces: PieceMarks | null }> {
  const path = join(directory, 'tokenizer.json');
  const source = await readJson(path);
  if (source !== null) return { json: readTokenizerJson(source, path), pieces: null };
  const model = join(directory, 'tokenizer.model');
  const bytes = await readBytes(model);
  if (bytes !== null) {
    const { json, bos, eos } = readSentencePieceModel(bytes, model);
    return { json: { ...json, added_tokens: withAddedTokens(json.added_tokens, config, added) }, pieces: { bos, eos, addBos: json.model.type === 'BPE' } };
  }
  throw invalid(`${directory} has neither tokenizer.json nor tokenizer.model; a model without one cannot be given text.`);
}

/** Tokens that a checkpoint has beyond those of its SentencePiece file: `added_tokens_decoder` by id, or added_tokens.json by text. */
function withAddedTokens(
  own: readonly AddedTokenEntry[],
  config: Readonly<Record<string, unknown>>,
  added: Readonly<Record<string, unknown>>,
): AddedTokenEntry[] {
  const byId = new Map(own.map((entry) => [entry.id, entry]));
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  for (const [content, id] of Object.entries(added)) {
    if (isId(id) && !byId.has(id)) byId.set(id, { ...plain, id, content, special: false });
  }
  const decoder = config['added_tokens_decoder'];
  for (const [id, entry] of Object.entries(isJsonObject(decoder) ? decoder : {})) {
    if (!isId(Number(id)) || !isJsonObject(entry) || typeof entry['content'] !== 'string') continue;
    const flag = (name: string): boolean => entry[name] === true;
    byId.set(Number(id), {
      id: Number(id),
      content: entry['content'],
      special: flag('special'),
      single_word: flag('single_word'),
      lstrip: flag('lstrip'),
      rstrip: flag('rstrip'),
      normalized: false,
    });
  }
  return [...byId.values()].toSorted((a, b) => a.id - b.id);
}

const isId = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 24;

/** A file of its own wins over the key in tokenizer_config.json; of several named templates the one called default. */
async function readChatTemplate(directory: string, config: Record<string, unknown>): Promise<string | null> {
  const file = await readText(join(directory, 'chat_template.jinja'));
  if (file !== null) return file;
  const template = (await readJson(join(directory, 'chat_template.json')))?.['chat_template'] ?? config['chat_template'];
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return null;
  const named = template.filter(isJsonObject);
  const chosen = (named.find((entry) => entry['name'] === 'default') ?? named[0])?.['template'];
  return typeof chosen === 'string' ? chosen : null;
}

const tokenName = (value: unknown): string | null => {
  if (typeof value === 'string') return value;
  return isJsonObject(value) && typeof value['content'] === 'string' ? value['content'] : null;
};

const idList = (value: unknown): number[] => (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isInteger(id) && id >= 0);
const firstId = (value: unknown): number | null => idList(value)[0] ?? null;

/** Whether the post-processor puts the token in front of a single text. */
function startsWithToken(part: TokenizerPart | null, token: string | number): boolean {
  if (part === null) return false;
  if (part.type === 'Sequence') {
    return (
      Array.isArray(part['processors']) && part['processors'].some((step) => isJsonObject(step) && startsWithToken(step as unknown as TokenizerPart, token))
    );
  }
  const first: unknown = part.type === 'TemplateProcessing' && Array.isArray(part['single']) ? part['single'][0] : null;
  return isJsonObject(first) && isJsonObject(first['SpecialToken']) && first['SpecialToken']['id'] === token;
}

async function readBytes(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new HearthError('file_system_error', `${path} could not be read: ${(error as Error).message}`, { cause: error });
  }
}

const readText = async (path: string): Promise<string | null> => (await readBytes(path))?.toString('utf8') ?? null;

async function readJson(path: string): Promise<Record<string, unknown> | null> {
  const text = await readText(path);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`${path} is not JSON: ${(error as Error).message}`);
  }
  if (!isJsonObject(value)) throw invalid(`${path} is not a JSON object.`);
  return value;
}
