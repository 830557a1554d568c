import { choice, type GrammarNode, text as literal, optional, repeat, sequence } from '../grammar/index.ts';
import { parsed, readObject, skipSpace } from './json-text.ts';
import type { CallGrammar, CallReading, SectionReading } from './tool-family.ts';

const NAME_KEYS = ['name', 'function', 'tool_name'];
const ARGUMENT_KEYS = ['arguments', 'parameters', 'args'];

/** One `{"name": F, "arguments": {…}}` at `at`, as far as it is there. */
export function readCallObject(text: string, at: number): { readonly call: CallReading | null; readonly end: number | null; readonly problem?: string } {
  const object = readObject(text, at);
  const name = object.members.find(({ key }) => NAME_KEYS.includes(key));
  const args = object.members.find(({ key }) => ARGUMENT_KEYS.includes(key));
  const value = name === undefined || name.end === null ? undefined : parsed(text.slice(name.start, name.end));
  const problem = object.problem ?? (object.end !== null && typeof value !== 'string' ? 'it names no tool' : undefined);
  if (problem !== undefined) return { call: null, end: object.end, problem };
  if (typeof value !== 'string') return { call: null, end: null };
  const complete = object.end !== null;
  let json = '';
  if (args !== undefined) {
    const raw = text.slice(args.start, args.end ?? undefined);
    // Arguments given as a string are the text in it.
    if (!raw.startsWith('"')) json = raw;
    else if (args.end !== null) json = String(parsed(raw) ?? raw);
  }
  return { call: { name: value, args: complete && json === '' ? '{}' : json, complete }, end: object.end };
}

/** `[{…}, {…}]` at `at`. */
export function readCallArray(text: string, at: number): SectionReading {
  const calls: CallReading[] = [];
  let i = skipSpace(text, at);
  if (i >= text.length) return { calls, end: null };
  if (text[i] !== '[') return { calls, end: null, problem: 'the calls are not in a list' };
  i = skipSpace(text, i + 1);
  for (;;) {
    if (i >= text.length) return { calls, end: null };
    if (text[i] === ']') return { calls, end: i + 1 };
    const { call, end, problem } = readCallObject(text, i);
    if (problem !== undefined) return { calls, end: null, problem };
    if (call !== null) calls.push(call);
    if (end === null) return { calls, end: null };
    i = skipSpace(text, end);
    if (text[i] === ',') i = skipSpace(text, i + 1);
    else if (text[i] !== undefined && text[i] !== ']') return { calls, end: null, problem: 'the list of calls is broken' };
  }
}

/** Behind the calls: white space and the closing mark. null while that cannot be told; a missing mark is forgiven. */
export function afterMark(text: string, at: number, mark: string, ended: boolean): number | null {
  const next = skipSpace(text, at);
  const rest = text.slice(next, next + mark.length);
  if (rest === mark) return next + mark.length;
  return mark.startsWith(rest) && !ended ? null : at;
}

export const SPACE = repeat(choice(literal(' '), literal('\n')), 0, 2);

/** `{"name": "F", "arguments": {…}}` with the given key. */
export const callObject = ({ tools, argumentsOf }: CallGrammar, key: 'arguments' | 'parameters'): GrammarNode =>
  choice(
    ...tools.map((tool) =>
      sequence(
        literal('{'),
        optional(literal(' ')),
        literal('"name":'),
        optional(literal(' ')),
        literal(JSON.stringify(tool.name)),
        literal(','),
        optional(literal(' ')),
        literal(`"${key}":`),
        optional(literal(' ')),
        argumentsOf(tool),
        optional(literal(' ')),
        literal('}'),
      ),
    ),
  );

/** `least` to `most` of one node with something between. */
export function severalOf(node: GrammarNode, between: GrammarNode, least: number, most: number | null): GrammarNode {
  const more = sequence(node, repeat(sequence(between, node), Math.max(0, least - 1), most === null ? null : Math.max(0, most - 1)));
  return least === 0 ? optional(more) : more;
}
