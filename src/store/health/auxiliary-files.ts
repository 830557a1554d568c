import { declaresVision } from '../detect/media.ts';
import type { ModelView } from '../model-view.ts';
import { isObject } from './json-value.ts';

const PROCESSORS = ['preprocessor_config.json', 'processor_config.json', 'image_processor_config.json'];
const TOKENIZERS = ['tokenizer.json', 'tokenizer.model', 'tekken.json', 'vocab.txt'];

/** The first problem of the files beside the weights, or null. */
export async function checkAuxiliaryFiles(view: ModelView): Promise<string | null> {
  const config = await view.json('config.json');
  if (config.kind === 'value' && isObject(config.value) && (await declaresVision(view, config.value))) {
    const problem = await checkProcessor(view, config.value);
    if (problem !== null) return problem;
  }
  return checkTokenizer(view);
}

async function checkProcessor(view: ModelView, config: Record<string, unknown>): Promise<string | null> {
  const present = PROCESSORS.filter((name) => view.find(name) !== undefined);
  const embedded = isObject(config['preprocessor_config']) || isObject(config['image_processor']);
  if (present.length === 0) return embedded ? null : 'Vision model missing preprocessor_config.json or processor_config.json';
  for (const name of present) {
    const json = await view.json(name);
    if (json.kind !== 'value') return `${name} invalid JSON`;
    if (!isObject(json.value)) return `${name} invalid`;
  }
  return null;
}

async function checkTokenizer(view: ModelView): Promise<string | null> {
  const json = await view.json('tokenizer_config.json');
  if (json.kind === 'missing') return null;
  if (json.kind === 'invalid') return 'tokenizer_config.json contains invalid JSON';
  if (!isObject(json.value)) return 'tokenizer_config.json exists but invalid';
  const has = (name: string): boolean => view.find(name) !== undefined;
  const found = TOKENIZERS.some(has) || view.files.some((file) => file.path.endsWith('.tiktoken')) || (has('vocab.json') && has('merges.txt'));
  return found ? null : 'tokenizer_config.json present but tokenizer.json missing';
}
