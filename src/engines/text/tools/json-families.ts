import { text as literal, optional, sequence } from '../grammar/index.ts';
import { afterMark, callObject, readCallArray, readCallObject, SPACE, severalOf } from './json-calls.ts';
import { skipSpace } from './json-text.ts';
import type { CallReading, ToolFamily } from './tool-family.ts';

/** Hermes and Qwen: `<tool_call>{"name": F, "arguments": {…}}</tool_call>`. */
export const jsonTools: ToolFamily = {
  id: 'json_tools',
  opens: ['<tool_call>'],
  marks: ['</tool_call>'],
  read(text, _open, _tools, ended) {
    const at = skipSpace(text, 0);
    if (at >= text.length) return { calls: [], end: null };
    const { call, end, problem } = readCallObject(text, at);
    return {
      calls: call === null ? [] : [call],
      end: end === null ? null : afterMark(text, end, '</tool_call>', ended),
      ...(problem === undefined ? {} : { problem }),
    };
  },
  grammar(calls) {
    const one = sequence(literal('<tool_call>'), SPACE, callObject(calls, 'arguments'), SPACE, literal('</tool_call>'));
    return severalOf(one, SPACE, calls.least, calls.most);
  },
};

/** Llama 3: the whole answer is one or several `{"name": F, "parameters": {…}}`, separated by `;`. */
export const llama3Json: ToolFamily = {
  id: 'llama3_json',
  opens: ['<|python_tag|>'],
  opensAnswer: '{',
  marks: [],
  read(text, open, tools, ended) {
    const calls: CallReading[] = [];
    // The mark is the first brace itself.
    const whole = open === '{' ? open + text : text;
    const shift = whole.length - text.length;
    let at = skipSpace(whole, 0);
    for (;;) {
      if (at >= whole.length) return { calls, end: ended && calls.length > 0 ? text.length : null };
      const { call, end, problem } = readCallObject(whole, at);
      if (problem !== undefined) return { calls, end: null, problem };
      if (call !== null && open === '{' && !tools.some(({ name }) => name === call.name)) return { calls, end: null, problem: `there is no tool ${call.name}` };
      if (call !== null) calls.push(call);
      if (end === null) return { calls, end: null };
      const next = skipSpace(whole, end);
      if (whole[next] === ';' || whole[next] === '{') at = skipSpace(whole, whole[next] === ';' ? next + 1 : next);
      else return { calls, end: next < whole.length || ended ? end - shift : null };
    }
  },
  grammar(calls) {
    return severalOf(callObject(calls, 'parameters'), sequence(literal(';'), optional(literal(' '))), calls.least, calls.most);
  },
};

const list = (id: string, open: string, close: string | null): ToolFamily => ({
  id,
  opens: [open],
  marks: close === null ? [] : [close],
  read(text, _open, _tools, ended) {
    const reading = readCallArray(text, 0);
    return close === null || reading.end === null ? reading : { ...reading, end: afterMark(text, reading.end, close, ended) };
  },
  grammar(calls) {
    const several = severalOf(callObject(calls, 'arguments'), sequence(literal(','), SPACE), Math.max(1, calls.least), calls.most);
    const section = sequence(literal(open), SPACE, literal('['), several, literal(']'), ...(close === null ? [] : [literal(close)]));
    return calls.least === 0 ? optional(section) : section;
  },
});

/** `<TOOLCALL>[{…}]</TOOLCALL>`. */
export const nemotron = list('nemotron', '<TOOLCALL>', '</TOOLCALL>');
/** `<|tool_call|>[{…}]`, to the end. */
export const granite = list('granite', '<|tool_call|>', null);
/** `[TOOL_CALLS][{…}]`, the older form of Mistral. */
export const mistralList = list('mistral', '[TOOL_CALLS]', null);
