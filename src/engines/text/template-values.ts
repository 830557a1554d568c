import type { ChatMessage, ToolCall, ToolDefinition } from '../../contract/index.ts';
import { messageText, resultText } from './message-text.ts';

/** `isKey`: the text is a name in an object. */
export type Change = (text: string, isKey?: boolean) => string;

/** What a template sees as `messages`: arguments of calls as objects, contents as strings, ids in the form that the model knows. */
export function toTemplateMessages(messages: readonly ChatMessage[], template: string, change: Change): Record<string, unknown>[] {
  const ids = callIds(messages, template);
  const idOf = (id: string): string => ids.get(id) ?? change(id);
  return messages.map((message) => ({
    role: message.role,
    content: change(template.includes('is_error') ? messageText(message) : resultText(message)),
    ...(message.failed === true ? { is_error: true } : {}),
    ...(message.name === undefined ? {} : { name: change(message.name) }),
    ...(message.toolCallId === undefined ? {} : { tool_call_id: idOf(message.toolCallId) }),
    ...(message.toolCalls === undefined || message.toolCalls.length === 0
      ? {}
      : { tool_calls: message.toolCalls.map((call) => toTemplateCall(call, idOf, change)) }),
    // gpt-oss calls it thinking.
    ...(message.reasoning === undefined
      ? {}
      : { reasoning_content: change(message.reasoning), ...(template.includes('.thinking') ? { thinking: change(message.reasoning) } : {}) }),
  }));
}

function toTemplateCall(call: ToolCall, idOf: (id: string) => string, change: Change): Record<string, unknown> {
  return { id: idOf(call.id), type: 'function', function: { name: change(call.name), arguments: mapStrings(objectOf(call.arguments), change) } };
}

function objectOf(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

/** An entry of the template's `tools`, in the form of the OpenAI API. */
export function toTemplateTool(tool: ToolDefinition, change: Change): Record<string, unknown> {
  return {
    type: 'function',
    function: {
      name: change(tool.name),
      description: change(tool.description ?? ''),
      parameters: mapStrings(tool.parameters ?? { type: 'object', properties: {} }, change),
    },
  };
}

const NINE = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

/** Ids that a template demands in another form, the same for a call and its result: Kimi's `functions.F:n`, Mistral's nine letters and digits. */
function callIds(messages: readonly ChatMessage[], template: string): ReadonlyMap<string, string> {
  const kimi = template.includes('<|tool_calls_section_begin|>');
  const mistral = template.includes('[TOOL_CALLS]');
  const ids = new Map<string, string>();
  if (!kimi && !mistral) return ids;
  for (const { toolCalls } of messages)
    for (const call of toolCalls ?? [])
      if (!ids.has(call.id)) ids.set(call.id, kimi ? `functions.${call.name}:${ids.size}` : nineCharacters(call.id, ids.size));
  return ids;
}

/** An id that fits stays; another one is numbered. */
function nineCharacters(id: string, number: number): string {
  if (/^[A-Za-z0-9]{9}$/.test(id)) return id;
  let text = '';
  for (let rest = number + 1; text.length < 9; rest = Math.floor(rest / NINE.length)) text = NINE[rest % NINE.length]! + text;
  return text;
}

/** Changes every text in a value, and the keys that need it. */
export function mapStrings(value: unknown, change: Change): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, change));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [change(key, true), mapStrings(item, change)]));
}
