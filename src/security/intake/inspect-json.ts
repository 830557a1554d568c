import { createHash, randomUUID } from 'node:crypto';
import { isHearthError, isJsonObject } from '../../core/index.ts';
import { parseJsonStrictly } from '../access/json-scan.ts';
import { findCodePointers, withoutCodePointers } from './config-keys.ts';
import type { CleanedFile, IntakeFile, IntakeFinding } from './intake-types.ts';
import { readStrictText } from './read-text.ts';

const LIMIT_BYTES = 64 * 1024 * 1024;
const DEPTH = 64;
/** Files whose keys are the words of a vocabulary. */
const VOCABULARY = /(^|\/)(tokenizer|vocab|added_tokens|tekken)\.json$/;
export const isVocabulary = (path: string): boolean => VOCABULARY.test(path);

export interface InspectedJson {
  readonly findings: readonly IntakeFinding[];
  readonly cleaned: CleanedFile | null;
  /** Chat templates in it, by the key that holds them. */
  readonly templates: readonly string[];
}

const refused = (path: string, message: string): InspectedJson => ({
  findings: [{ stage: 'config', code: 'config_json', file: path, message }],
  cleaned: null,
  templates: [],
});

/** One JSON file of a model: strict JSON (docs/spec/security.md §4.2), and no key that points at code (§4.3). */
export async function inspectJson(file: IntakeFile): Promise<InspectedJson> {
  const text = await readStrictText(file.source, LIMIT_BYTES);
  return text === null ? refused(file.path, `is larger than ${LIMIT_BYTES / 2 ** 20} MiB, or not UTF-8`) : inspectJsonText(file.path, text);
}

/** The same for a text that is in memory. */
export function inspectJsonText(path: string, text: string): InspectedJson {
  let value: unknown;
  try {
    value = parseJsonStrictly(text, {
      depth: DEPTH,
      keys: Number.POSITIVE_INFINITY,
      subject: 'It',
      bareNumbers: true,
      vocabulary: isVocabulary(path),
    });
  } catch (error) {
    if (isHearthError(error)) return refused(path, error.message);
    throw error;
  }
  const { findings, stripped } = findCodePointers(path, value);
  return { findings, cleaned: stripped.length === 0 ? null : cleanedFile(path, text, stripped), templates: templatesIn(value) };
}

/** Nobody can foresee it. Bare NaN and Infinity stay as Python wrote them, and reads them. */
const BARE = `\uE003${randomUUID()}:`;

function cleanedFile(path: string, text: string, keys: readonly string[]): CleanedFile {
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (found) => (found.startsWith('"') ? found : `"${BARE}${found}"`));
  const json = JSON.stringify(withoutCodePointers(JSON.parse(marked)), null, 2);
  const bytes = Buffer.from(`${json.replace(new RegExp(`"${BARE}(-?Infinity|NaN)"`, 'g'), '$1')}\n`);
  return { path, keys, bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** A template, or several named ones. */
function templatesIn(value: unknown): string[] {
  const template = isJsonObject(value) ? value['chat_template'] : undefined;
  const entries = Array.isArray(template) ? template.map((entry) => (isJsonObject(entry) ? entry['template'] : null)) : [template];
  return entries.filter((entry): entry is string => typeof entry === 'string' && entry !== '');
}
