import { type GgufHeader, type GgufValue, ggufArray, ggufNumber, ggufString } from './header.ts';
import { Refusal } from './header-reader.ts';

export interface MeaningOptions {
  /** Name of the file without its folder; given, it is compared with the `split.*` keys. */
  readonly fileName?: string;
}

/** Refuses headers that are well formed but contradict themselves (docs/spec/security.md §4.5, "Meaning"). */
export function checkMeaning(header: GgufHeader, options: MeaningOptions): void {
  checkSplit(header, options.fileName);
  const architecture = checkArchitecture(header);
  checkVocabulary(header);
  if (architecture !== undefined) checkParameters(header, architecture);
}

function checkArchitecture(header: GgufHeader): string | undefined {
  const architecture = ggufString(header, 'general.architecture');
  // Shards after the first repeat the split keys only.
  if (architecture === undefined && !header.keys.has('general.architecture') && (ggufNumber(header, 'split.no') ?? 0) > 0) return undefined;
  if (architecture === undefined || !/^[A-Za-z0-9_.-]{1,64}$/.test(architecture)) {
    throw new Refusal('gg_architecture', 'general.architecture is missing or is not a name.');
  }
  return architecture;
}

function checkVocabulary(header: GgufHeader): void {
  const tokens = header.keys.get('tokenizer.ggml.tokens');
  if (tokens?.type !== 'array') return;
  const rows = header.tensors.get('token_embd.weight')?.dims[1];
  if (rows !== undefined && rows !== tokens.count) {
    throw new Refusal('gg_vocab_rows', `The vocabulary has ${tokens.count} tokens, but token_embd.weight has ${rows} rows.`);
  }
  for (const key of ['tokenizer.ggml.token_type', 'tokenizer.ggml.scores']) {
    const value = header.keys.get(key);
    if (value !== undefined && (value.type !== 'array' || value.count !== tokens.count)) {
      throw new Refusal('gg_vocab_rows', `${key} does not have one entry for each of the ${tokens.count} tokens.`);
    }
  }
  for (const [key, value] of header.keys) {
    if (!/^tokenizer\.ggml\.[a-z_]*token_id$/.test(key)) continue;
    if (value.type === 'array' || typeof value.value !== 'number' || !Number.isInteger(value.value) || value.value < 0 || value.value >= tokens.count) {
      throw new Refusal('gg_token_id', `${key} is not the id of one of the ${tokens.count} tokens.`);
    }
  }
}

const MAX_LAYERS = 1024;
const RANGES: readonly (readonly [string, number])[] = [
  ['block_count', MAX_LAYERS],
  ['attention.head_count', 1024],
  ['attention.head_count_kv', 1024],
  ['embedding_length', 2 ** 20],
  ['context_length', 2 ** 24],
];

function checkParameters(header: GgufHeader, architecture: string): void {
  for (const [suffix, most] of RANGES) {
    const key = `${architecture}.${suffix}`;
    const value = header.keys.get(key);
    if (value === undefined) continue;
    if (value.type === 'array' && value.count > MAX_LAYERS)
      throw new Refusal('gg_param_range', `${key} lists ${value.count} layers; at most ${MAX_LAYERS} are allowed.`);
    // Layers without attention have no heads: 0 is allowed inside a list.
    const least = value.type === 'array' ? 0 : 1;
    for (const number of numbersOf(value)) {
      if (typeof number !== 'number' || !Number.isInteger(number) || number < least || number > most) {
        throw new Refusal('gg_param_range', `${key} is ${String(number)}; ${least} to ${most} is allowed.`);
      }
    }
  }
  for (const [key, value] of header.keys) {
    if (!key.startsWith(`${architecture}.`) || (value.type !== 'f32' && value.type !== 'f64')) continue;
    if (!Number.isFinite(value.value as number)) throw new Refusal('gg_param_range', `${key} is not a finite number.`);
  }
}

const numbersOf = (value: GgufValue): readonly unknown[] => (value.type === 'array' ? ggufArray(value) : [value.value]);

function checkSplit(header: GgufHeader, fileName: string | undefined): void {
  const no = ggufNumber(header, 'split.no');
  const count = ggufNumber(header, 'split.count');
  const present = ['split.no', 'split.count', 'split.tensors.count'].filter((key) => header.keys.has(key));
  if (present.length > 0 && (no === undefined || count === undefined || no < 0 || no >= count)) {
    throw new Refusal('gg_split', 'The split.no and split.count keys do not fit together.');
  }
  const total = ggufNumber(header, 'split.tensors.count');
  if (count !== undefined && total !== undefined && (count === 1 ? total !== header.tensors.size : total < header.tensors.size)) {
    throw new Refusal('gg_split', `split.tensors.count is ${total}, but this file alone holds ${header.tensors.size} tensors.`);
  }
  if (fileName === undefined) return;
  const named = /-(\d{5})-of-(\d{5})\.gguf$/.exec(fileName);
  if (named === null && (count ?? 1) === 1) return;
  if (named === null || Number(named[1]) !== (no ?? -1) + 1 || Number(named[2]) !== count) {
    throw new Refusal('gg_split', `The file name ${fileName} does not say the same as its split keys.`);
  }
}
