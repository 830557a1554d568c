import type { ToolDefinition } from '../../../contract/index.ts';
import { choice, type GrammarNode, text as literal, oneOf, optional, repeat, sequence } from '../grammar/index.ts';
import { afterMark, SPACE, severalOf } from './json-calls.ts';
import { mistralList } from './json-families.ts';
import { endOfValue, skipSpace } from './json-text.ts';
import type { CallGrammar, CallReading, SectionReading, ToolFamily } from './tool-family.ts';

/** Families that write a name, a mark and the arguments as JSON. */
interface NamedForm {
  readonly begin: string | null;
  readonly separators: readonly string[];
  /** Behind the arguments; null: nothing. */
  readonly end: string | null;
  /** Behind all calls; null: the answer ends. */
  readonly close: string | null;
  nameOf(written: string): string;
}

/** Whether `text` at `at` may still become `mark`. */
const mayBe = (text: string, at: number, mark: string, ended: boolean): boolean => !ended && mark.startsWith(text.slice(at, at + mark.length));

function readNamed(text: string, form: NamedForm, ended: boolean, first: boolean): SectionReading {
  const calls: CallReading[] = [];
  let begun = first;
  for (let at = 0; ; begun = false) {
    at = skipSpace(text, at);
    if (at >= text.length) return { calls, end: ended && calls.length > 0 ? text.length : null };
    if (form.close !== null && text.startsWith(form.close, at)) return { calls, end: at + form.close.length };
    if (form.begin !== null && !begun) {
      if (!text.startsWith(form.begin, at)) {
        const open = mayBe(text, at, form.begin, ended) || (form.close !== null && mayBe(text, at, form.close, ended));
        if (open) return { calls, end: null };
        return calls.length > 0 ? { calls, end: at } : { calls, end: null, problem: `${form.begin} is missing` };
      }
      at += form.begin.length;
    }
    const places = form.separators.map((mark) => ({ mark, place: text.indexOf(mark, at) })).filter(({ place }) => place >= 0);
    const found = places.sort((a, b) => a.place - b.place)[0];
    if (found === undefined) return { calls, end: null };
    const name = form.nameOf(text.slice(at, found.place).trim());
    let start = skipSpace(text, found.place + found.mark.length);
    // A fenced block, and the older form with the name behind the mark.
    const fenced = /^([^\s{`]*)\s*```(?:json)?\s*/.exec(text.slice(start));
    const older = fenced !== null && fenced[0] !== '';
    if (older) start += fenced[0].length;
    const named = older && fenced[1] !== '' ? fenced[1]! : name;
    if (start >= text.length) return { calls, end: null };
    if (text[start] !== '{') {
      if (/^[^\s{`]*\s*`{0,2}$/.test(text.slice(start)) && !ended) return { calls, end: null };
      return { calls, end: null, problem: 'the arguments do not begin with {' };
    }
    const end = endOfValue(text, start);
    calls.push({ name: named, args: text.slice(start, end ?? undefined), complete: end !== null });
    if (end === null) return { calls, end: null };
    at = older ? (afterMark(text, end, '```', ended) ?? text.length) : end;
    if (form.end === null) continue;
    const behind = afterMark(text, at, form.end, ended);
    if (behind === null) return { calls, end: null };
    at = behind;
  }
}

const callsOf = (calls: CallGrammar, one: (tool: ToolDefinition, args: GrammarNode) => GrammarNode): GrammarNode =>
  choice(...calls.tools.map((tool) => one(tool, calls.argumentsOf(tool))));

/** `[TOOL_CALLS]F[ARGS]{json}`, several, to the end; also `[TOOL_CALLS][{…}]`. */
export const mistral: ToolFamily = {
  id: 'mistral',
  opens: ['[TOOL_CALLS]'],
  marks: ['[ARGS]', '[CALL_ID]'],
  read(text, open, tools, ended) {
    const at = skipSpace(text, 0);
    if (at >= text.length || text[at] === '[') return mistralList.read(text, open, tools, ended);
    const form: NamedForm = {
      begin: '[TOOL_CALLS]',
      separators: ['[ARGS]', '{'],
      end: null,
      close: null,
      nameOf: (written) => written.split('[CALL_ID]')[0]!.trim(),
    };
    // A brace belongs to the arguments, the mark does not.
    const brace = text.indexOf('{');
    const mark = text.indexOf('[ARGS]');
    if (mark < 0 && brace < 0) return { calls: [], end: null };
    return readNamed(mark >= 0 && (brace < 0 || mark < brace) ? text : text.replace('{', '[ARGS]{'), { ...form, separators: ['[ARGS]'] }, ended, true);
  },
  grammar(calls) {
    if (!calls.template.includes('[ARGS]')) return mistralList.grammar(calls);
    const one = callsOf(calls, (tool, args) => sequence(literal(`[TOOL_CALLS]${tool.name}[ARGS]`), args));
    return severalOf(one, sequence(), calls.least, calls.most);
  },
};

/** Kimi: a section of `<|tool_call_begin|>functions.F:0<|tool_call_argument_begin|>{json}<|tool_call_end|>`. */
export const kimiK2: ToolFamily = {
  id: 'kimi_k2',
  opens: ['<|tool_calls_section_begin|>'],
  marks: ['<|tool_call_begin|>', '<|tool_call_argument_begin|>', '<|tool_call_end|>', '<|tool_calls_section_end|>'],
  read: (text, _open, _tools, ended) =>
    readNamed(
      text,
      {
        begin: '<|tool_call_begin|>',
        separators: ['<|tool_call_argument_begin|>'],
        end: '<|tool_call_end|>',
        close: '<|tool_calls_section_end|>',
        nameOf: (written) => written.replace(/^functions\./, '').replace(/:\d+$/, ''),
      },
      ended,
      false,
    ),
  grammar(calls) {
    const one = callsOf(calls, (tool, args) =>
      sequence(
        literal(`<|tool_call_begin|>functions.${tool.name}:`),
        repeat(oneOf('0-9'), 1, 3),
        literal('<|tool_call_argument_begin|>'),
        args,
        literal('<|tool_call_end|>'),
      ),
    );
    const section = sequence(
      literal('<|tool_calls_section_begin|>'),
      severalOf(one, sequence(), Math.max(1, calls.least), calls.most),
      literal('<|tool_calls_section_end|>'),
    );
    return calls.least === 0 ? optional(section) : section;
  },
};

/** DeepSeek: `<｜tool▁call▁begin｜>F<｜tool▁sep｜>{json}<｜tool▁call▁end｜>`; before that `function<｜tool▁sep｜>F` and a fenced block. */
export const deepseek: ToolFamily = {
  id: 'deepseek',
  opens: ['<｜tool▁calls▁begin｜>'],
  marks: ['<｜tool▁call▁begin｜>', '<｜tool▁sep｜>', '<｜tool▁call▁end｜>', '<｜tool▁calls▁end｜>'],
  read: (text, _open, _tools, ended) =>
    readNamed(
      text,
      {
        begin: '<｜tool▁call▁begin｜>',
        separators: ['<｜tool▁sep｜>'],
        end: '<｜tool▁call▁end｜>',
        close: '<｜tool▁calls▁end｜>',
        nameOf: (written) => written,
      },
      ended,
      false,
    ),
  grammar(calls) {
    const fenced = calls.template.includes('```json');
    const one = callsOf(calls, (tool, args) =>
      fenced
        ? sequence(literal(`<｜tool▁call▁begin｜>function<｜tool▁sep｜>${tool.name}\n\`\`\`json\n`), args, literal('\n```<｜tool▁call▁end｜>'))
        : sequence(literal(`<｜tool▁call▁begin｜>${tool.name}<｜tool▁sep｜>`), args, literal('<｜tool▁call▁end｜>')),
    );
    const section = sequence(literal('<｜tool▁calls▁begin｜>'), severalOf(one, SPACE, Math.max(1, calls.least), calls.most), literal('<｜tool▁calls▁end｜>'));
    return calls.least === 0 ? optional(section) : section;
  },
};
