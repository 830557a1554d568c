import { type HiddenText, hiddenTextIn } from '../../../core/index.ts';
import { asksForSystemPrompt, hasOverride } from './phrases.ts';

/** A text of a request that the one who operates the model did not write. */
export interface ForeignText {
  readonly from: 'user' | 'tool';
  readonly text: string;
}

export interface InjectionScore {
  readonly score: number;
  /** What was found, in the order of the table. */
  readonly signs: readonly string[];
  readonly hidden: readonly HiddenText[];
  /** Length of the longest base64. */
  readonly encodedCharacters: number;
}

/** Weights of docs/spec/security.md §18; each sign counts once for a request. */
const WEIGHTS = {
  override: 3,
  'template markers': 3,
  'tool-call syntax': 3,
  'link that carries text out': 3,
  'hidden characters': 2,
  'encoded instructions': 2,
  'asks for the system prompt': 2,
  'script change': 1,
} as const;
type Sign = keyof typeof WEIGHTS;

/** Characters that are looked at; of longer texts the beginning and the end. */
export const LOOKED_AT = 65_536;

/** Of the chat templates of the families that are run here. */
const MARKERS =
  /<\|(?:im_start|im_end|im_sep|system|user|assistant|endoftext|begin_of_text|start_header_id|end_header_id|eot_id|eom_id|end|start|channel|message)\|>|\[\/?INST\]|<<\/?SYS>>|<\/s>|<(?:start|end)_of_turn>|<｜(?:User|Assistant|begin▁of▁sentence|end▁of▁sentence)｜>/;
const TOOL_CALLS =
  /<\/?tool_call>|<\|(?:tool_call|python_tag)\|?>|\[TOOL_CALLS\]|<function=[\w.-]{1,64}>|"name"\s{0,4}:\s{0,4}"[\w.-]{1,64}"\s{0,4},\s{0,4}"(?:arguments|parameters)"\s{0,4}:/;
/** A query or a path after the host that has room for what was said. */
const LINKS = /!?\[[^\]\n]{0,200}\]\(\s{0,4}https?:\/\/[^\s()?#]{1,400}\?[^\s()]{32,}/i;
const ENCODED = /[A-Za-z0-9+/]{24,}={0,2}/g;
/** Runs of base64 that are opened, and how much of each. */
const OPENED = 8;
const OPENED_CHARACTERS = 2_048;
const SCRIPTS = ['Latin', 'Cyrillic', 'Greek', 'Arabic', 'Hebrew', 'Han', 'Hangul', 'Thai', 'Devanagari'].map(
  (name) => new RegExp(`\\p{Script=${name}}[\\p{Script=${name}} ,]{${name === 'Han' ? 4 : 24}}`, 'u'),
);
const ONE_SCRIPT = /^[\0-\u024f\u2010-\u2026]*$/;

/** How much the texts look like an attempt to take over the model. Linear in their length, of which at most `LOOKED_AT` characters count. */
export function scoreTexts(texts: readonly ForeignText[]): InjectionScore {
  const signs = new Set<Sign>();
  const hidden = new Set<HiddenText>();
  let encodedCharacters = 0;
  let left = LOOKED_AT;
  for (const { from, text: whole } of texts) {
    if (left <= 0) break;
    const text = whole.length <= left ? whole : `${whole.slice(0, left >> 1)}\n${whole.slice(-(left >> 1))}`;
    left -= text.length;
    if (MARKERS.test(text)) signs.add('template markers');
    if (from === 'tool' && TOOL_CALLS.test(text)) signs.add('tool-call syntax');
    if (text.includes('](') && LINKS.test(text)) signs.add('link that carries text out');
    for (const kind of hiddenTextIn(text, text)) hidden.add(kind);
    if (hasOverride(text)) signs.add('override');
    if (asksForSystemPrompt(text)) signs.add('asks for the system prompt');
    const encoded = encodedIn(text);
    encodedCharacters = Math.max(encodedCharacters, encoded.longest);
    if (encoded.opened.some((inside) => hasOverride(inside) || asksForSystemPrompt(inside))) signs.add('encoded instructions');
    if (!ONE_SCRIPT.test(text) && SCRIPTS.filter((script) => script.test(text)).length > 1) signs.add('script change');
  }
  if (hidden.size > 0) signs.add('hidden characters');
  const found = (Object.keys(WEIGHTS) as Sign[]).filter((sign) => signs.has(sign));
  return { score: found.reduce((sum, sign) => sum + WEIGHTS[sign], 0), signs: found, hidden: [...hidden], encodedCharacters };
}

/** Runs of base64, broken into lines or not. */
function encodedIn(text: string): { readonly longest: number; readonly opened: readonly string[] } {
  const opened: string[] = [];
  let [longest, running, end] = [0, 0, -1];
  for (const { index, 0: run } of text.matchAll(ENCODED)) {
    running = end >= 0 && index - end <= 2 && /^\r?\n$/.test(text.slice(end, index)) ? running + run.length : run.length;
    end = index + run.length;
    longest = Math.max(longest, running);
    if (opened.length < OPENED) opened.push(Buffer.from(run.slice(0, OPENED_CHARACTERS), 'base64').toString('utf8'));
  }
  return { longest, opened };
}
