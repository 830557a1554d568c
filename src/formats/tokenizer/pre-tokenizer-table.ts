import { createHash } from 'node:crypto';
import type { TokenizerPart } from './tokenizer-json.ts';

/** What a name of `tokenizer.ggml.pre` stands for: the pre-tokenizer of the tokenizer.json that the name was made from. */
export interface PreTokenizerEntry {
  /** The first one is written, all are read. */
  readonly names: readonly string[];
  readonly preTokenizer: TokenizerPart;
  readonly normalizer: TokenizerPart | null;
  /** A word that is a token as a whole is taken as it is, without merges. */
  readonly ignoreMerges: boolean;
  /** Where `tokenizer.ggml.add_bos_token` is missing. */
  readonly addBos: boolean;
}

const byteLevel = (useRegex: boolean): TokenizerPart => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex });
const split = (expression: string): TokenizerPart => ({ type: 'Split', pattern: { Regex: expression }, behavior: 'Isolated', invert: false });
const sequence = (...pretokenizers: TokenizerPart[]): TokenizerPart => ({ type: 'Sequence', pretokenizers });
const split1 = (expression: string): TokenizerPart => sequence(split(expression), byteLevel(false));

const digits: TokenizerPart = { type: 'Digits', individual_digits: true };
const EAST_ASIAN = '[一-龥ࠀ-一가-퟿]+';

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const TAIL = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;
const CASED = String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`;
const UPPER = String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`;
const words = (digits: string): string => String.raw`${CONTRACTIONS}|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|${TAIL}`;
const BACKTICK = '`';
const MARKS = String.raw`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_${BACKTICK}{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|${TAIL}`;

const entry = (names: string[], preTokenizer: TokenizerPart, rest: Partial<PreTokenizerEntry> = {}): PreTokenizerEntry => ({
  names,
  preTokenizer,
  normalizer: null,
  ignoreMerges: false,
  addBos: false,
  ...rest,
});

/** Names as llama.cpp spells them. A name that is not here is refused: a guess would give other ids without anyone noticing. */
const TABLE: readonly PreTokenizerEntry[] = [
  entry(['gpt-2', 'olmo', 'mpt', 'phi-2', 'gigachat', 'mellum', 'exaone4', 'jais', 'trillion', 'granite-docling'], byteLevel(true)),
  entry(['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b'], sequence(digits, byteLevel(true))),
  entry(['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'lfm2'], split1(words(String.raw`\p{N}{1,3}`)), { ignoreMerges: true, addBos: true }),
  entry(['smaug-bpe', 'dbrx', 'glm4', 'chatglm-bpe'], split1(words(String.raw`\p{N}{1,3}`))),
  entry(['qwen2', 'stablelm2', 'deepseek-r1-qwen', 'kormo', 'megrez'], split1(words(String.raw`\p{N}`)), { normalizer: { type: 'NFC' } }),
  entry(['qwen35'], split1(String.raw`${CONTRACTIONS}|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|${TAIL}`), {
    normalizer: { type: 'NFC' },
  }),
  entry(['tekken'], split1(String.raw`${CASED}|${UPPER}|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|${TAIL}`), { ignoreMerges: true, addBos: true }),
  entry(
    ['gpt-4o', 'llama4', 'minimax-m2'],
    split1(String.raw`${CASED}${CONTRACTIONS}?|${UPPER}${CONTRACTIONS}?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|${TAIL}`),
  ),
  entry(
    ['deepseek-llm'],
    sequence(
      split('[\r\n]'),
      // Letters with a case; the original lists them one range after another.
      split(String.raw`\s?[\p{Lu}\p{Ll}\p{Lt}]+`),
      split(String.raw`\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+`),
      split(String.raw`\s+$`),
      split(EAST_ASIAN),
      digits,
      byteLevel(false),
    ),
  ),
  entry(['deepseek-coder'], sequence(split('[\r\n]'), split(String.raw`\s?\p{L}+`), split(String.raw`\s?\p{P}+`), split(EAST_ASIAN), digits, byteLevel(false))),
  entry(['falcon'], sequence({ type: 'Punctuation', behavior: 'Contiguous' }, byteLevel(true), split('[0-9][0-9][0-9]'))),
  entry(['seed-coder'], split1(String.raw`${CONTRACTIONS}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|${TAIL}`)),
  entry(
    ['bailingmoe', 'bailingmoe2', 'llada-moe'],
    split1(String.raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`),
  ),
  entry(['deepseek-v3', 'hunyuan-dense'], sequence(split(String.raw`\p{N}{1,3}`), split('[一-龥\u3040-ゟ゠-ヿ]+'), split(MARKS), byteLevel(false))),
];

export const preTokenizerByName = (name: string): PreTokenizerEntry | undefined => TABLE.find((row) => row.names.includes(name));

const BY_DIGEST = Map.groupBy(TABLE, (row) => digest(row.preTokenizer));

/**
 * The entry whose pre-tokenizer is this one, compared by the SHA-256 of its canonical JSON; of several the one that
 * takes whole words as this vocabulary does.
 */
export function preTokenizerByPart(part: TokenizerPart | null, ignoreMerges: boolean): PreTokenizerEntry | undefined {
  const rows = part === null ? [] : (BY_DIGEST.get(digest(part)) ?? []);
  return rows.find((row) => row.ignoreMerges === ignoreMerges) ?? rows[0];
}

/** Every name that is read. */
export const preTokenizerNames = (): string[] => TABLE.flatMap((row) => row.names);

function digest(part: TokenizerPart): string {
  return createHash('sha256')
    .update(JSON.stringify(canonical(part)))
    .digest('hex');
}

/** Keys sorted; settings that change no ids (`trim_offsets`) or have their default are left out. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([key, setting]) => {
    if (key === 'trim_offsets' || setting === null) return false;
    return !((key === 'use_regex' && setting === true) || (key === 'invert' && setting === false));
  });
  return Object.fromEntries(kept.map(([key, setting]) => [key, canonical(setting)] as const).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
