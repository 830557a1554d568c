import type { ChatMessage, ContentPart, ResponseOutputItem, ResponseRequest, ToolCall } from '../../../contract/index.ts';
import type { MediaReader } from '../../media/media-reader.ts';
import { invalid, isPresent } from '../sampling.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface InputContext {
  readonly media: MediaReader;
  /** An item of an earlier answer of the same key; null when there is none. */
  readonly itemOf: (id: string) => ResponseOutputItem | null;
}

/** The answer as messages of the assistant. */
export const outputMessages = (output: readonly ResponseOutputItem[]): ChatMessage[] => decodeInput([...output], { media: NO_MEDIA, itemOf: () => null });

const none = (): never => {
  throw new TypeError('An answer holds no media.');
};
const NO_MEDIA: MediaReader = { image: none, imageData: none, audio: none };

type Draft = { -readonly [K in keyof ChatMessage]: ChatMessage[K] };

/** Input of the Responses API as messages: calls go to the message of the assistant in front of them, reasoning to the message that it led to. */
export function decodeInput(input: ResponseRequest['input'], context: InputContext): ChatMessage[] {
  if (typeof input === 'string') return [{ role: 'user', content: [{ kind: 'text', text: input }] }];
  const messages: Draft[] = [];
  let reasoning = '';
  const add = (message: Draft): void => {
    const reasoned = message.role === 'assistant' && reasoning !== '';
    messages.push(reasoned ? { ...message, reasoning } : message);
    reasoning = '';
  };
  for (const [index, given] of input.entries()) {
    const at = `input.${index}`;
    const item = given.type === 'item_reference' ? referred(given, at, context) : (given as Fields);
    const type = isPresent(item['type']) ? item['type'] : 'message';
    if (type === 'message') add(decodeMessage(item, at, context));
    else if (type === 'reasoning') reasoning += reasoningText(item);
    else if (type === 'function_call') {
      const call = decodeCall(item, at);
      const last = messages.at(-1);
      if (last?.role === 'assistant' && reasoning === '') last.toolCalls = [...(last.toolCalls ?? []), call];
      else add({ role: 'assistant', content: [], toolCalls: [call] });
    } else if (type === 'function_call_output') add(decodeOutput(item, at, context));
    else throw invalid(`${at}.type`, `Items of the type ${String(type).slice(0, 64)} are not taken.`);
  }
  return messages;
}

function referred(item: Fields, at: string, { itemOf }: InputContext): Fields {
  const id = item['id'];
  const found = typeof id === 'string' ? itemOf(id) : null;
  if (found === null) throw invalid(`${at}.id`, `There is no item ${String(id).slice(0, 64)} any more; send the item itself.`);
  return found;
}

const ROLES: Readonly<Record<string, 'system' | 'user' | 'assistant'>> = { system: 'system', developer: 'system', user: 'user', assistant: 'assistant' };

function decodeMessage(item: Fields, at: string, context: InputContext): Draft {
  const given = item['role'];
  const role = typeof given === 'string' && Object.hasOwn(ROLES, given) ? ROLES[given] : undefined;
  if (role === undefined) throw invalid(`${at}.role`, 'The role of a message is system, developer, user or assistant.');
  if (!isPresent(item['content'])) throw invalid(`${at}.content`, 'A message needs content.');
  return { role, content: decodeParts(item['content'], `${at}.content`, context) };
}

function decodeParts(content: unknown, at: string, { media }: InputContext): ContentPart[] {
  if (typeof content === 'string') return [{ kind: 'text', text: content }];
  if (!Array.isArray(content)) throw invalid(at, 'The content is a text or a list of parts.');
  return content.map((part: Fields, index): ContentPart => {
    const here = `${at}.${index}`;
    const type = part?.['type'];
    if (type === 'input_text' || type === 'output_text' || type === 'text' || type === 'refusal') {
      const text = type === 'refusal' ? part['refusal'] : part['text'];
      if (typeof text !== 'string') throw invalid(`${here}.text`, 'A text part needs its text.');
      return { kind: 'text', text };
    }
    if (type === 'input_image') {
      const url = part['image_url'];
      if (typeof url !== 'string') throw invalid(`${here}.image_url`, 'An image needs its image_url; files by id are not kept here.');
      return media.image(url, here);
    }
    if (type === 'input_audio') {
      const { data, format } = (part['input_audio'] ?? part) as { data?: unknown; format?: unknown };
      if (typeof data !== 'string' || typeof format !== 'string') throw invalid(`${here}.input_audio`, 'Audio needs its data and format.');
      return media.audio(data, format, here);
    }
    throw invalid(`${here}.type`, `Parts of the type ${String(type).slice(0, 64)} are not taken.`);
  });
}

function decodeCall(item: Fields, at: string): ToolCall {
  const { call_id: id, name, arguments: json } = item;
  if (typeof id !== 'string' || id === '') throw invalid(`${at}.call_id`, 'A call needs its call_id.');
  if (typeof name !== 'string' || name === '') throw invalid(`${at}.name`, 'A call needs the name of its function.');
  if (typeof json !== 'string') throw invalid(`${at}.arguments`, 'The arguments of a call are a JSON text.');
  return { id, name, arguments: json === '' ? '{}' : json };
}

function decodeOutput(item: Fields, at: string, context: InputContext): Draft {
  const { call_id: id, output } = item;
  if (typeof id !== 'string' || id === '') throw invalid(`${at}.call_id`, 'The output of a call needs its call_id.');
  if (!isPresent(output)) throw invalid(`${at}.output`, 'The output of a call is a text or a list of parts.');
  return { role: 'tool', toolCallId: id, content: decodeParts(output, `${at}.output`, context) };
}

/** The reasoning itself where the item has it, else its summary. */
function reasoningText(item: Fields): string {
  const texts = (list: unknown): string =>
    Array.isArray(list) ? list.map((part: Fields) => (typeof part?.['text'] === 'string' ? part['text'] : '')).join('') : '';
  return texts(item['content']) || texts(item['summary']);
}
