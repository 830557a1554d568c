import { join } from 'node:path';
import { HearthError, isJsonObject } from '../../core/index.ts';
import { readJsonObject } from '../json-file.ts';

const CONFIG_LIMIT_BYTES = 8 * 2 ** 20;

/** `config.json` of a model directory. Throws `mlx_config_invalid`. */
export async function readModelConfig(directory: string): Promise<Readonly<Record<string, unknown>>> {
  const path = join(directory, 'config.json');
  return readJsonObject(path, {
    limitBytes: CONFIG_LIMIT_BYTES,
    refuse: (why, cause) => new HearthError('mlx_config_invalid', `${path} ${why}.`, { cause }),
    parse: (text) => JSON.parse(tagBareNumbers(text), reviveNumber),
  });
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
