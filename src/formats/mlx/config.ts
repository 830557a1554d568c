import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError } from '../../core/index.ts';
import { isJsonObject } from './quantization.ts';

const CONFIG_LIMIT_BYTES = 8 * 2 ** 20;

/** `config.json` of a model directory. Throws `mlx_config_invalid`. */
export async function readModelConfig(directory: string): Promise<Readonly<Record<string, unknown>>> {
  const path = join(directory, 'config.json');
  const invalid = (why: string, cause?: unknown): HearthError => new HearthError('mlx_config_invalid', `${path} ${why}.`, { cause });
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > CONFIG_LIMIT_BYTES) throw invalid(`is larger than ${CONFIG_LIMIT_BYTES} bytes`);
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof HearthError) throw error;
    throw invalid(`cannot be read: ${(error as Error).message}`, error);
  }
  let config: unknown;
  try {
    config = JSON.parse(tagBareNumbers(text), reviveNumber);
  } catch (error) {
    throw invalid('is not JSON', error);
  }
  if (!isJsonObject(config)) throw invalid('does not hold a JSON object');
  return config;
}

const TAGGED_NUMBERS: Readonly<Record<string, number>> = {
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
  NaN: Number.NaN,
};

/** Python writes NaN and Infinity as bare words; they become tags. Strings are matched too, so that words inside them stay. */
const tagBareNumbers = (text: string): string =>
  text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (found) => (found.startsWith('"') ? found : `{"__float__":"${found}"}`));

/** transformers writes numbers that JSON lacks as `{"__float__": "Infinity"}`. */
function reviveNumber(_key: string, value: unknown): unknown {
  if (!isJsonObject(value)) return value;
  const tag = value['__float__'];
  return typeof tag === 'string' && Object.hasOwn(TAGGED_NUMBERS, tag) && Object.keys(value).length === 1 ? TAGGED_NUMBERS[tag] : value;
}
