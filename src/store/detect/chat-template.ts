import { isObject } from '../health/json-value.ts';
import type { ModelView } from '../model-view.ts';
import type { GgufSummary } from './weight-headers.ts';

const isTemplate = (value: unknown): boolean => (typeof value === 'string' && value !== '') || (Array.isArray(value) && value.length > 0);

/** Whether the model brings a chat template; sources in the order of docs/spec/store.md §5. */
export async function hasChatTemplate(view: ModelView, gguf: GgufSummary | null): Promise<boolean> {
  for (const name of ['tokenizer_config.json', 'chat_template.json']) {
    const json = await view.json(name);
    if (json.kind === 'value' && isObject(json.value) && isTemplate(json.value['chat_template'])) return true;
  }
  if ((view.find('chat_template.jinja')?.sizeBytes ?? 0) > 0) return true;
  if (gguf?.chatTemplate === true) return true;
  // Parsed only when the bytes occur: these files reach 20 MB.
  if (!(await view.contains('tokenizer.json', '"chat_template"'))) return false;
  const json = await view.json('tokenizer.json');
  return json.kind === 'value' && isObject(json.value) && isTemplate(json.value['chat_template']);
}
