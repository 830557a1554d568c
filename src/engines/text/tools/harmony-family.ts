import { choice, text as literal, optional, sequence } from '../grammar/index.ts';
import { endOfValue, skipSpace } from './json-text.ts';
import type { ToolFamily } from './tool-family.ts';

const MESSAGE = '<|message|>';

/** gpt-oss: `<|channel|>commentary to=functions.F <|constrain|>json<|message|>{json}<|call|>`; the role may stand before `to=`. */
export const harmony: ToolFamily = {
  id: 'harmony',
  opens: ['<|channel|>commentary to=', '<|start|>assistant<|channel|>commentary to=', '<|start|>assistant to=', '<|channel|>analysis to='],
  marks: ['<|start|>', '<|channel|>', '<|constrain|>', MESSAGE, '<|call|>', '<|end|>'],
  read(text, _open, _tools, ended) {
    const header = text.indexOf(MESSAGE);
    if (header < 0) return { calls: [], end: null };
    const name = /^(?:functions\.)?([A-Za-z0-9_.:/-]+)/.exec(text)?.[1];
    if (name === undefined) return { calls: [], end: null, problem: 'it names no tool' };
    const start = skipSpace(text, header + MESSAGE.length);
    if (start >= text.length) return { calls: [], end: null };
    if (text[start] !== '{') return { calls: [], end: null, problem: 'the arguments do not begin with {' };
    const end = endOfValue(text, start);
    const calls = [{ name, args: text.slice(start, end ?? undefined), complete: end !== null }];
    if (end === null) return { calls, end: null };
    for (const mark of ['<|call|>', '<|end|>']) {
      if (text.startsWith(mark, end)) return { calls, end: end + mark.length };
      if (!ended && mark.startsWith(text.slice(end, end + mark.length))) return { calls, end: null };
    }
    return { calls, end };
  },
  // The call's own end mark ends the answer: there is one call in it.
  grammar(calls) {
    const one = choice(
      ...calls.tools.map((tool) => sequence(literal(`<|channel|>commentary to=functions.${tool.name} <|constrain|>json${MESSAGE}`), calls.argumentsOf(tool))),
    );
    return calls.least === 0 ? optional(one) : one;
  },
};
