import { isObject } from '../health/json-value.ts';
import type { ModelView } from '../model-view.ts';
import type { GgufSummary } from './weight-headers.ts';

/** The text of a key `chat_template`; of several named templates the one called default. null: there is none. */
function templateOf(value: unknown): string | null {
  if (typeof value === 'string') return value === '' ? null : value;
  if (!Array.isArray(value) || value.length === 0) return null;
  const named = value.filter(isObject);
  const text = (named.find((entry) => entry['name'] === 'default') ?? named[0])?.['template'];
  return typeof text === 'string' ? text : '';
}

/** The chat template that the model brings, null where it brings none; sources in the order of docs/spec/store.md §5. A file of its own is the text that counts. */
export async function chatTemplateOf(view: ModelView, gguf: GgufSummary | null): Promise<string | null> {
  if ((view.find('chat_template.jinja')?.sizeBytes ?? 0) > 0) return (await view.text('chat_template.jinja')) ?? '';
  for (const name of ['chat_template.json', 'tokenizer_config.json']) {
    const json = await view.json(name);
    const text = json.kind === 'value' && isObject(json.value) ? templateOf(json.value['chat_template']) : null;
    if (text !== null) return text;
  }
  if (gguf !== null && gguf.chatTemplate !== null) return gguf.chatTemplate;
  // Parsed only when the bytes occur: these files reach 20 MB.
  if (!(await view.contains('tokenizer.json', '"chat_template"'))) return null;
  const json = await view.json('tokenizer.json');
  return json.kind === 'value' && isObject(json.value) ? templateOf(json.value['chat_template']) : null;
}

/** The parser of tool calls that the files name. */
export async function toolParserOf(view: ModelView): Promise<string | null> {
  const json = await view.json('tokenizer_config.json');
  const named = json.kind === 'value' && isObject(json.value) ? json.value['tool_parser_type'] : null;
  return typeof named === 'string' ? named : null;
}
