import { isJsonObject } from '../../core/index.ts';
import { isShardName } from '../../formats/index.ts';
import type { IntakeFinding } from './intake-types.ts';

/** Keys that make other loaders fetch or run code: a model that has one is refused. */
const REFUSED_KEYS = /^(model_file|_attn_implementation_internal|custom_pipelines|custom_generate)$|^hub_|_hub_/;
/** Taken out of what engines see; the stored bytes stay as they were signed. */
const STRIPPED_KEYS = new Set(['auto_map']);
/** Names that loaders turn into modules: hyphens and capitals occur (xlm-roberta, RefinedWeb), dots and slashes would lead elsewhere. */
const MODEL_TYPE = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const PARSER_TYPE = /^[a-z0-9_]{1,64}$/;
const CLASS_NAME = /^[A-Za-z][A-Za-z0-9_]{0,127}$/;
const PATTERNS: readonly (readonly [keys: RegExp, pattern: RegExp])[] = [
  [/^model_type$/, MODEL_TYPE],
  [/^(tool_parser_type|chat_template_type)$/, PARSER_TYPE],
  [/^architectures$|_class$|^(feature_extractor_type|image_processor_type)$/, CLASS_NAME],
];
/** Modules of sentence-transformers that are arithmetic on vectors; `sentence_transformers.models.X` or `sentence_transformers.sentence_transformer.modules.X`. */
const SENTENCE_MODULES = /^sentence_transformers\.(models|sentence_transformer\.modules)\.(Transformer|Pooling|Normalize|Dense|LayerNorm|Dropout)$/;

export interface KeyFindings {
  readonly findings: readonly IntakeFinding[];
  /** Paths such as `text_config.auto_map`. */
  readonly stripped: readonly string[];
}

/**
 * What in a JSON file of a model points at code (docs/spec/security.md §4.3), at any depth. Numbers and lists of numbers never do: the words
 * of a vocabulary are keys too.
 */
export function findCodePointers(file: string, value: unknown): KeyFindings {
  const findings: IntakeFinding[] = [];
  const stripped: string[] = [];
  const refuse = (path: string, message: string): void => {
    findings.push({ stage: 'config', code: 'config_code_pointer', file, key: path, message: `${path} ${message}` });
  };
  const take = (key: string, item: unknown, path: string): void => {
    if (STRIPPED_KEYS.has(key) && says(item)) stripped.push(path);
    else if (REFUSED_KEYS.test(key) && says(item)) refuse(path, 'points at code outside the model');
    else if (key === 'trust_remote_code' && item === true) refuse(path, 'asks for code to be run');
    else {
      const pattern = PATTERNS.find(([keys]) => keys.test(key))?.[1];
      if (pattern !== undefined)
        for (const text of texts(item)) if (!pattern.test(text)) refuse(path, `is no plain name: ${JSON.stringify(text.slice(0, 80))}`);
    }
  };
  const walk = (item: unknown, path: string): void => {
    if (Array.isArray(item)) {
      for (const [index, each] of item.entries()) if (typeof each === 'object') walk(each, `${path}[${index}]`);
    } else if (isJsonObject(item))
      for (const [key, each] of Object.entries(item)) {
        // Names of tensors, and words of a vocabulary with their numbers, are no settings.
        if (typeof each === 'number' || key === 'weight_map') continue;
        const at = path === '' ? key : `${path}.${key}`;
        take(key, each, at);
        walk(each, at);
      }
  };
  walk(value, '');
  if (/(^|\/)modules\.json$/.test(file) && Array.isArray(value))
    value.forEach((module, index) => {
      const type = isJsonObject(module) ? module['type'] : undefined;
      if (typeof type !== 'string' || !SENTENCE_MODULES.test(type)) refuse(`[${index}].type`, `is no module that is known: ${JSON.stringify(type)}`);
    });
  if (/\.safetensors\.index\.json$/.test(file)) findings.push(...strangeShards(file, value));
  return { findings, stripped };
}

/** An index that leads out of its directory. Whether it agrees with the shards is the health check's to tell, which can mend it, and the engine's to refuse. */
function strangeShards(file: string, value: unknown): IntakeFinding[] {
  const map = isJsonObject(value) && isJsonObject(value['weight_map']) ? value['weight_map'] : {};
  const strange = [...new Set(Object.values(map))].filter((name) => typeof name !== 'string' || !isShardName(name));
  return strange.slice(0, 10).map((name) => ({
    stage: 'config',
    code: 'st_index_name',
    file,
    key: 'weight_map',
    message: `names ${JSON.stringify(name).slice(0, 200)} as a file of weights`,
  }));
}

/** The same value without the keys that are stripped, at any depth. */
export function withoutCodePointers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutCodePointers);
  if (!isJsonObject(value)) return value;
  const kept = Object.entries(value).filter(([key, item]) => !(STRIPPED_KEYS.has(key) && says(item)));
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutCodePointers(item)]));
}

/** A text, true, or something that holds one. */
function says(value: unknown): boolean {
  if (typeof value === 'string') return value !== '';
  if (Array.isArray(value)) return value.some(says);
  return value === true || (isJsonObject(value) && Object.values(value).some(says));
}

const texts = (value: unknown): readonly string[] =>
  (Array.isArray(value) ? value : [value]).filter((item): item is string => typeof item === 'string' && item !== '');
