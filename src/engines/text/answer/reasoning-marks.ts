import type { ReasoningMarks } from './answer-reader.ts';

/** Parser ids of reasoning parts (docs/spec/serving.md §3.4). */
const PARSERS: readonly { readonly id: string; readonly pairs: readonly ReasoningMarks[] }[] = [
  { id: 'longcat', pairs: [{ open: '<longcat_think>', close: '</longcat_think>' }] },
  { id: 'gemma4', pairs: [{ open: '<|channel>thought', close: '<channel|>' }] },
  {
    id: 'think',
    pairs: [
      { open: '<think>', close: '</think>' },
      { open: '<thinking>', close: '</thinking>' },
    ],
  },
];

/** The pairs whose marks the template writes or looks for. An empty template: those that are known by the output alone. */
export function reasoningPairs(template: string): readonly ReasoningMarks[] {
  if (template === '') return PARSERS.find(({ id }) => id === 'think')!.pairs;
  for (const { pairs } of PARSERS) {
    const found = pairs.filter(({ open, close }) => template.includes(open) || template.includes(close));
    if (found.length > 0) return found;
  }
  return [];
}
