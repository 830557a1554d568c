import type { ToolDefinition } from '../../../contract/index.ts';
import { choice, free, type GrammarNode, text as literal, optional, repeat, sequence } from '../grammar/index.ts';
import { afterMark, readCallObject, severalOf } from './json-calls.ts';
import { skipSpace } from './json-text.ts';
import { type CallGrammar, type CallReading, parametersOf, type SectionReading, type ToolFamily } from './tool-family.ts';
import { isStringOnly, typedValue, typesOfParameter } from './typed-value.ts';

/** Families that write arguments as tagged text without types. Expressions are sticky; the first group is the name. */
interface TaggedForm {
  readonly call: RegExp;
  readonly key: RegExp;
  readonly valueEnd: string;
  readonly callEnd: string;
  /** Behind all calls of a section; null: a section is one call, which its own end closes. */
  readonly sectionEnd: string | null;
  /** One newline at each end of a value belongs to the markup. */
  readonly newlines: boolean;
  /** A JSON object may stand in place of the tags. */
  readonly json: boolean;
}

const match = (pattern: RegExp, text: string, at: number): RegExpExecArray | null => {
  const sticky = new RegExp(pattern.source, 'sy');
  sticky.lastIndex = at;
  return sticky.exec(text);
};

function readTagged(text: string, form: TaggedForm, tools: readonly ToolDefinition[], ended: boolean): SectionReading {
  const calls: CallReading[] = [];
  const broken = (what: string): SectionReading => (ended ? { calls, end: null, problem: what } : { calls, end: null });
  for (let at = 0; ; ) {
    at = skipSpace(text, at);
    if (form.sectionEnd !== null && text.startsWith(form.sectionEnd, at)) return { calls, end: at + form.sectionEnd.length };
    if (form.json && text[at] === '{') {
      const { call, end, problem } = readCallObject(text, at);
      return {
        calls: call === null ? [] : [call],
        end: end === null ? null : afterMark(text, end, form.callEnd, ended),
        ...(problem === undefined ? {} : { problem }),
      };
    }
    const head = match(form.call, text, at);
    if (head === null) return broken('the markup of a call is broken');
    const name = head[1]!.trim();
    const tool = tools.find((one) => one.name === name);
    const members: string[] = [];
    at = head.index + head[0].length;
    for (;;) {
      at = skipSpace(text, at);
      if (text.startsWith(form.callEnd, at)) {
        calls.push({ name, args: `{${members.join(', ')}}`, complete: true });
        at += form.callEnd.length;
        break;
      }
      const key = match(form.key, text, at);
      const open = (last: string): SectionReading => ({
        ...broken('the markup of a call is broken'),
        calls: [...calls, { name, args: `{${[...members, ...(last === '' ? [] : [last])].join(', ')}`, complete: false }],
      });
      if (key === null) return open('');
      const parameter = key[1]!.trim();
      const schema = tool === undefined ? undefined : parametersOf(tool).schemaOf(parameter);
      const start = key.index + key[0].length;
      const end = text.indexOf(form.valueEnd, start);
      const label = `${JSON.stringify(parameter)}: `;
      if (end < 0) return open(isStringOnly(schema) ? label + beginningOf(text.slice(start), form) : '');
      members.push(label + typedValue(untrimmed(text.slice(start, end), form), schema));
      at = end + form.valueEnd.length;
    }
    if (form.sectionEnd === null) return { calls, end: at };
  }
}

const untrimmed = (raw: string, { newlines }: TaggedForm): string => (newlines ? raw.replace(/^\r?\n/, '').replace(/\r?\n$/, '') : raw);

/** JSON text of a string that goes on: without what may belong to the mark behind it, and without half a character. */
function beginningOf(raw: string, form: TaggedForm): string {
  const sure = raw.slice(0, Math.max(0, raw.length - form.valueEnd.length - 2)).replace(/[\ud800-\udbff]$/, '');
  return JSON.stringify(form.newlines ? sure.replace(/^\r?\n/, '') : sure).slice(0, -1);
}

/** A value as it is written between the tags. */
function valueGrammar({ argumentOf }: CallGrammar, tool: ToolDefinition, name: string, form: TaggedForm): GrammarNode {
  const schema = parametersOf(tool).schemaOf(name);
  const values = typeof schema === 'object' && schema !== null ? ((schema as { enum?: unknown[] }).enum ?? null) : null;
  const types = typesOfParameter(schema);
  if (values !== null) return choice(...values.map((value) => literal(typeof value === 'string' ? value : JSON.stringify(value))));
  return types === null || types.has('string') ? free(form.valueEnd) : argumentOf(tool, name);
}

interface Written {
  readonly call: (name: string) => string;
  readonly key: (name: string) => string;
  readonly valueEnd: string;
  readonly callEnd: string;
}

function callGrammar(calls: CallGrammar, form: TaggedForm, written: Written): GrammarNode {
  return choice(
    ...calls.tools.map((tool) => {
      const { names, required } = parametersOf(tool);
      const members = names.map((name) => {
        const one = sequence(literal(written.key(name)), valueGrammar(calls, tool, name, form), literal(written.valueEnd));
        return required.includes(name) ? one : optional(one);
      });
      return sequence(literal(written.call(tool.name)), ...members, literal(written.callEnd));
    }),
  );
}

const QWEN: TaggedForm = {
  call: /<function=([^>\n]+)>/,
  key: /<parameter=([^>\n]+)>/,
  valueEnd: '</parameter>',
  callEnd: '</function>',
  sectionEnd: '</tool_call>',
  newlines: true,
  json: false,
};

/** `<tool_call><function=F><parameter=p>⏎v⏎</parameter></function></tool_call>`. */
export const qwen3Coder: ToolFamily = {
  id: 'qwen3_coder',
  opens: ['<tool_call>'],
  marks: ['</tool_call>'],
  read: (text, _open, tools, ended) => readTagged(text, QWEN, tools, ended),
  grammar(calls) {
    const one = callGrammar(calls, QWEN, {
      call: (name) => `<tool_call>\n<function=${name}>\n`,
      key: (name) => `<parameter=${name}>\n`,
      valueEnd: '\n</parameter>\n',
      callEnd: '</function>\n</tool_call>',
    });
    return severalOf(one, optional(literal('\n')), calls.least, calls.most);
  },
};

const MINIMAX: TaggedForm = {
  call: /<invoke name="([^"\n]+)">/,
  key: /<parameter name="([^"\n]+)">/,
  valueEnd: '</parameter>',
  callEnd: '</invoke>',
  sectionEnd: '</minimax:tool_call>',
  newlines: false,
  json: false,
};

/** `<minimax:tool_call><invoke name="F"><parameter name="p">v</parameter></invoke></minimax:tool_call>`, several. */
export const minimaxM2: ToolFamily = {
  id: 'minimax_m2',
  opens: ['<minimax:tool_call>'],
  marks: ['</minimax:tool_call>'],
  read: (text, _open, tools, ended) => readTagged(text, MINIMAX, tools, ended),
  grammar(calls) {
    const one = callGrammar(calls, MINIMAX, {
      call: (name) => `<invoke name="${name}">\n`,
      key: (name) => `<parameter name="${name}">`,
      valueEnd: '</parameter>\n',
      callEnd: '</invoke>\n',
    });
    const section = sequence(literal('<minimax:tool_call>\n'), repeat(one, Math.max(1, calls.least), calls.most), literal('</minimax:tool_call>'));
    return calls.least === 0 ? optional(section) : section;
  },
};

const keyed = (id: string, open: string, close: string, key: string, value: string): ToolFamily => {
  const form: TaggedForm = {
    call: new RegExp(`([^<\\n{]+?)\\s*(?=\\n|${key}|${close})`),
    key: new RegExp(`<${key.slice(1)}(.*?)</${key.slice(1)}\\s*${value}`),
    valueEnd: `</${value.slice(1)}`,
    callEnd: close,
    sectionEnd: null,
    newlines: false,
    json: true,
  };
  return {
    id,
    opens: [open],
    marks: [close, key, `</${key.slice(1)}`, value, `</${value.slice(1)}`],
    read: (text, _open, tools, ended) => readTagged(text, form, tools, ended),
    grammar(calls) {
      const one = callGrammar(calls, form, {
        call: (name) => `${open}${name}\n`,
        key: (name) => `${key}${name}</${key.slice(1)}\n${value}`,
        valueEnd: `</${value.slice(1)}\n`,
        callEnd: close,
      });
      return severalOf(one, optional(literal('\n')), calls.least, calls.most);
    },
  };
};

/** `<tool_call>F<arg_key>k</arg_key><arg_value>v</arg_value></tool_call>`; a JSON body too. */
export const glm47 = keyed('glm47', '<tool_call>', '</tool_call>', '<arg_key>', '<arg_value>');
/** The same with marks of its own. */
export const longcat = keyed('longcat', '<longcat_tool_call>', '</longcat_tool_call>', '<longcat_arg_key>', '<longcat_arg_value>');
