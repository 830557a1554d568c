import type { ReasoningMarks } from './answer-reader.ts';

/** Parser ids of reasoning parts (docs/spec/serving.md §3.4). */
type ParserId = 'longcat' | 'gemma4' | 'think' | 'harmony';

const pair = (open: string, close: string): ReasoningMarks => ({ open, close, forced: `\n${close}\n\n` });
const channel = (open: string): ReasoningMarks => ({ open, close: '<|end|>', forced: '<|end|><|start|>assistant<|channel|>final<|message|>' });

const PARSERS: readonly { readonly id: ParserId; readonly pairs: readonly ReasoningMarks[] }[] = [
  { id: 'longcat', pairs: [pair('<longcat_think>', '</longcat_think>')] },
  { id: 'gemma4', pairs: [pair('<|channel>thought', '<channel|>')] },
  { id: 'think', pairs: [pair('<think>', '</think>'), pair('<thinking>', '</thinking>')] },
];
const HARMONY = [channel('<|channel|>analysis<|message|>'), channel('<|start|>assistant<|channel|>analysis<|message|>')];

/** Control tokens of which the marks of harmony are made. */
export const HARMONY_TOKENS: readonly string[] = ['<|start|>', '<|channel|>', '<|constrain|>', '<|message|>', '<|end|>'];
/** What stands before an answer, and between its parts. */
export const HARMONY_HEADERS: readonly string[] = [
  ...['<|channel|>', '<|start|>assistant<|channel|>'].flatMap((start) => [
    `${start}final<|message|>`,
    `${start}final <|constrain|>json<|message|>`,
    `${start}commentary<|message|>`,
  ]),
  '<|end|>',
];
export const isHarmony = (template: string): boolean => template.includes('<|channel|>') && template.includes('<|message|>');

/** The pairs whose marks the template writes or looks for. An empty template: those that are known by the output alone. */
export function reasoningPairs(template: string): readonly ReasoningMarks[] {
  if (template === '') return PARSERS.find(({ id }) => id === 'think')!.pairs;
  if (isHarmony(template)) return HARMONY;
  for (const { pairs } of PARSERS) {
    const found = pairs.filter(({ open, close }) => template.includes(open) || template.includes(close));
    if (found.length > 0) return found;
  }
  return [];
}
