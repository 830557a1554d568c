import type { ToolDefinition } from '../../../contract/index.ts';
import { choice, free, type GrammarNode, text as literal, optional, sequence } from '../grammar/index.ts';
import { afterMark, severalOf } from './json-calls.ts';
import { type LiteralForm, readMap, skip } from './literal-value.ts';
import { type CallGrammar, type CallReading, parametersOf, type SectionReading, type ToolFamily } from './tool-family.ts';
import { isStringOnly, typesOfParameter } from './typed-value.ts';

/** What is no literal can never be read as a call. */
function orProblem(calls: readonly CallReading[], read: () => SectionReading): SectionReading {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { calls, end: null, problem: error.message };
  }
}

/** One argument in the family's own writing: texts in its quotes, all else as JSON. */
function valueGrammar({ argumentOf }: CallGrammar, tool: ToolDefinition, name: string, quote: string): GrammarNode {
  const schema = parametersOf(tool).schemaOf(name);
  const values = (schema as { enum?: unknown[] } | undefined)?.enum;
  if (Array.isArray(values)) return choice(...values.map((value) => literal(typeof value === 'string' ? quote + value + quote : JSON.stringify(value))));
  if (isStringOnly(schema)) return sequence(literal(quote), free(quote), literal(quote));
  return argumentOf(tool, name);
}

/** Members in the schema's order, by commas; those that are not required may be left out. */
function membersGrammar({ share }: CallGrammar, tool: ToolDefinition, member: (name: string) => GrammarNode, comma: string): GrammarNode {
  const { names, required } = parametersOf(tool);
  /** Behind a member, and before any. */
  let later: GrammarNode = sequence();
  let first: GrammarNode = sequence();
  for (const name of names.toReversed()) {
    const [value, after] = [share(member(name)), later];
    const next = sequence(literal(comma), value, after);
    first = share(required.includes(name) ? sequence(value, after) : choice(sequence(value, after), first));
    later = share(required.includes(name) ? next : choice(next, after));
  }
  return first;
}

const gemma = (id: string, open: string, close: string, quote: string): ToolFamily => {
  const form: LiteralForm = { quote };
  return {
    id,
    opens: [open],
    marks: [close, quote],
    read: (text, _open, _tools, ended) =>
      orProblem([], () => {
        const calls: CallReading[] = [];
        for (let at = 0; ; ) {
          at = skip(text, at);
          if (text.startsWith(close, at) && calls.length > 0) return { calls, end: at + close.length };
          const head = /^call:\s*([^\s{]+)\s*\{/.exec(text.slice(at));
          if (head === null) {
            const open =
              text.length - at < 200 && !ended && (calls.length === 0 || close.startsWith(text.slice(at)) || 'call:'.startsWith(text.slice(at, at + 5)));
            if (open) return { calls, end: null };
            return calls.length > 0 ? { calls, end: at } : { calls, end: null, problem: 'call: is missing' };
          }
          const { members, end } = readMap(text, at + head[0].length - 1, '}', ':', form);
          calls.push({ name: head[1]!, args: `{${members.join(', ')}${end === null ? '' : '}'}`, complete: end !== null });
          if (end === null) return { calls, end: null };
          at = end;
        }
      }),
    grammar(calls) {
      const one = choice(
        ...calls.tools.map((tool) =>
          sequence(
            literal(`call:${tool.name}{`),
            membersGrammar(calls, tool, (name) => sequence(literal(`${name}:`), valueGrammar(calls, tool, name, quote)), ','),
            literal('}'),
          ),
        ),
      );
      return severalOf(sequence(literal(open), one, literal(close)), sequence(), calls.least, calls.most);
    },
  };
};

/** `<|tool_call>call:F{k:<|"|>text<|"|>,n:1}<tool_call|>`. */
export const gemma4 = gemma('gemma4', '<|tool_call>', '<tool_call|>', '<|"|>');
/** `<start_function_call>call:F{k:<escape>text<escape>,n:1}<end_function_call>`. */
export const functionGemma = gemma('function_gemma', '<start_function_call>', '<end_function_call>', '<escape>');

const PYTHON: LiteralForm = { quote: null };
const END = '<|tool_call_end|>';

function pythonValue(calls: CallGrammar, tool: ToolDefinition, name: string): GrammarNode {
  const types = typesOfParameter(parametersOf(tool).schemaOf(name));
  return types !== null && types.size === 1 && types.has('boolean') ? choice(literal('True'), literal('False')) : calls.argumentOf(tool, name);
}

/** `<|tool_call_start|>[f(a="x", b=2), g()]<|tool_call_end|>`, Python literals. */
export const pythonic: ToolFamily = {
  id: 'pythonic',
  opens: ['<|tool_call_start|>'],
  marks: [END],
  read: (text, _open, _tools, ended) =>
    orProblem([], () => {
      const calls: CallReading[] = [];
      let at = skip(text, 0);
      if (at >= text.length) return { calls, end: null };
      if (text[at] !== '[') throw new SyntaxError('the calls are not in a list');
      for (at = skip(text, at + 1); ; ) {
        if (at >= text.length) return { calls, end: null };
        if (text[at] === ']') return { calls, end: afterMark(text, at + 1, END, ended) };
        const head = /^([A-Za-z_][\w.:/-]*)\s*(\(?)/.exec(text.slice(at));
        if (head === null) throw new SyntaxError('a name is missing');
        if (head[2] === '') {
          if (at + head[0].length < text.length) throw new SyntaxError('( is missing');
          return { calls, end: null };
        }
        const { members, end } = readMap(text, at + head[0].length - 1, ')', '=', PYTHON);
        calls.push({ name: head[1]!, args: `{${members.join(', ')}${end === null ? '' : '}'}`, complete: end !== null });
        if (end === null) return { calls, end: null };
        at = skip(text, end);
        if (text[at] === ',') at = skip(text, at + 1);
        else if (at < text.length && text[at] !== ']') throw new SyntaxError('the list of calls is broken');
      }
    }),
  grammar(calls) {
    const one = choice(
      ...calls.tools.map((tool) =>
        sequence(
          literal(`${tool.name}(`),
          membersGrammar(calls, tool, (name) => sequence(literal(`${name}=`), pythonValue(calls, tool, name)), ', '),
          literal(')'),
        ),
      ),
    );
    const section = sequence(literal('<|tool_call_start|>['), severalOf(one, literal(', '), Math.max(1, calls.least), calls.most), literal(`]${END}`));
    return calls.least === 0 ? optional(section) : section;
  },
};
