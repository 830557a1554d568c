import schemas from '../reference/responses-schema.json' with { type: 'json' };
import { violation } from './json-schema-check.ts';

export interface NamedEvent {
  readonly event: string | null;
  readonly data: Record<string, unknown> & { readonly type: string; readonly sequence_number: number };
}

/** Fields that docs/spec/serving.md §2.4 wants in every response, beyond the published schema. */
const REQUIRED =
  'id object created_at completed_at status incomplete_details model previous_response_id instructions output error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs temperature reasoning usage max_output_tokens max_tool_calls store background service_tier metadata safety_identifier prompt_cache_key'.split(
    ' ',
  );

/** What is wrong with a response object, or null. */
export const responseViolation = (response: object): string | null =>
  violation(schemas.response, response, schemas) ??
  ('user' in response && typeof response.user !== 'string' ? 'user is no text' : null) ??
  REQUIRED.filter((field) => !(field in response)).map((field) => `${field} is missing`)[0] ??
  null;

/** What is wrong with one event, or null: its name, its shape, and the response in it. */
export function eventViolation({ event, data }: NamedEvent): string | null {
  const schema = (schemas.events as Record<string, unknown>)[data.type];
  if (schema === undefined) return `${data.type} is no event of a server without tools of its own`;
  if (event !== data.type) return `${data.type} is named ${event}`;
  const found = violation(schema, data, schemas);
  if (found !== null) return `${data.type}: ${found}`;
  const { response } = data as { response?: object };
  return response === undefined ? null : responseViolation(response);
}

/** The events of a stream as they were sent; comments are left out. `done`: [DONE] was the last thing. */
export function readEvents(text: string): { readonly events: NamedEvent[]; readonly done: boolean } {
  const frames = text.split('\n\n').filter((frame) => frame !== '' && !frame.startsWith(':'));
  const done = frames.at(-1) === 'data: [DONE]';
  const events = (done ? frames.slice(0, -1) : frames).map((frame): NamedEvent => {
    const event = /^event: (.*)$/m.exec(frame)?.[1] ?? null;
    return { event, data: JSON.parse(/^data: (.*)$/m.exec(frame)![1]!) as NamedEvent['data'] };
  });
  return { events, done };
}

type Item = Record<string, unknown> & { type: string; content?: { text: string }[]; summary?: { text: string }[]; arguments?: string };

/** What the deltas of a stream add up to, by the rules of the API; throws where the order is broken. */
export function accumulate(events: readonly NamedEvent[]): Item[] {
  const items: Item[] = [];
  const closed = new Set<number>();
  const opened = new Set<string>();
  for (const { data } of events) {
    const { type, output_index: index, item_id: id } = data as unknown as { type: string; output_index: number; item_id?: string };
    const fail = (reason: string): never => {
      throw new Error(`${type} (${data.sequence_number}): ${reason}`);
    };
    if (index === undefined) continue;
    if (type === 'response.output_item.added') {
      if (index !== items.length) fail('the index leaves a gap');
      items.push(structuredClone(data['item']) as Item);
      continue;
    }
    const item = items[index] ?? fail('there is no such item');
    if (closed.has(index)) fail('the item was done');
    if (id !== undefined && id !== item['id']) fail('the id is another one');
    const part = `${index}/${type.includes('summary') ? 's' : 'c'}`;
    if (type === 'response.content_part.added') item.content = [structuredClone(data['part']) as { text: string }];
    else if (type === 'response.reasoning_summary_part.added') item.summary = [structuredClone(data['part']) as { text: string }];
    if (type.endsWith('part.added')) opened.add(part);
    if (type === 'response.output_text.delta') (opened.has(part) ? item.content! : fail('the part is not open'))[0]!.text += String(data['delta']);
    if (type === 'response.reasoning_summary_text.delta') (opened.has(part) ? item.summary! : fail('the part is not open'))[0]!.text += String(data['delta']);
    if (type === 'response.function_call_arguments.delta') item.arguments += String(data['delta']);
    if (type.endsWith('text.done') && data['text'] !== (item.content ?? item.summary)?.[0]?.text) fail('the text differs from its deltas');
    if (type.endsWith('arguments.done') && data['arguments'] !== item.arguments) fail('the arguments differ from their deltas');
    if (type.endsWith('part.done')) opened.delete(part);
    if (type === 'response.output_item.done') {
      if (opened.has(part)) fail('a part is still open');
      closed.add(index);
      items[index] = { ...item, status: (data['item'] as Item)['status'] };
    }
  }
  if (closed.size !== items.length) throw new Error('an item was never done');
  return items;
}
