import { randomInt } from 'node:crypto';
import type { ChatMessage, ToolDefinition } from '../../contract/index.ts';
import { HearthError, isHearthError, withTimeLimit } from '../../core/index.ts';
import { type CompiledTemplate, compileTemplate } from '../../formats/index.ts';
import { fallbackPrompt } from './fallback-prompt.ts';
import { type Change, mapStrings, toTemplateMessages, toTemplateTool } from './template-values.ts';

/** A stretch of a prompt. Control tokens are recognised in `special` stretches only. */
export interface PromptSegment {
  readonly text: string;
  readonly special: boolean;
}

export interface ChatRenderer {
  /** Why the fallback is used although the model has a template; null when all is well. */
  readonly problem: string | null;
  /** The prompt up to and including the mark that opens the answer. Throws invalid_value when the template refuses the conversation. */
  render(messages: readonly ChatMessage[], templateArguments?: Readonly<Record<string, unknown>>, tools?: readonly ToolDefinition[]): PromptSegment[];
}

export interface ChatRendererOptions {
  /** Jinja source; null: plain conversation blocks (docs/spec/store.md §10). */
  readonly template: string | null;
  readonly bosToken: string;
  readonly eosToken: string;
  /** Texts of the control tokens of the model. */
  readonly specialTokens: Iterable<string>;
}

const MAX_PROMPT_CHARACTERS = 4 * 1024 * 1024;
/** For all renderings of one conversation together (docs/spec/security.md §5). */
const RENDER_MS = 1_000;
const LIMITS = { code: 'template_limit', subject: 'The chat template of this model' } as const;

/**
 * Renders conversations so that texts of messages can never become control tokens (docs/spec/security.md §5), while the template sees what it
 * would see elsewhere.
 *
 * 1. In every text that did not come with the model, each control token's text is replaced by a mark that nobody can foresee. Texts without
 *    such tokens, nearly all, are rendered as they are, so trims, tests and replacements of the template do what they always do. Afterwards
 *    marks become plain segments with the original text, everything else is a special segment.
 * 2. A template could still glue a control token together from a text (by removing something from its middle, or by what it writes beside
 *    it). So the conversation is rendered once more with inert words: control tokens that also occur there are the template's own. If the
 *    two sequences differ, step 3 decides.
 * 3. Every character of a text that a control token begins with becomes a mark of its own: no control token can begin in a text at all.
 */
export function createChatRenderer(options: ChatRendererOptions): ChatRenderer {
  const tokens = [...options.specialTokens].filter((token) => token !== '').sort((a, b) => b.length - a.length);
  let template: CompiledTemplate | null = null;
  let problem: string | null = null;
  if (options.template !== null) {
    try {
      const source = options.template;
      template = withTimeLimit(() => compileTemplate(source), RENDER_MS, LIMITS);
    } catch (error) {
      // A template that is a weapon is no mistake of its author: nothing is made of it.
      if (isHearthError(error)) return { problem: error.message, render: () => refuse(error) };
      problem = `The chat template of this model cannot be used: ${(error as Error).message}`;
    }
  }
  const compiled = template;
  if (compiled === null) return { problem, render: (messages) => [{ text: fallbackPrompt(messages), special: false }] };

  const anyToken = tokens.length === 0 ? /(?!)/g : new RegExp(tokens.map(escapePattern).join('|'), 'g');
  const anyStart = new RegExp([...new Set(tokens.map((token) => escapePattern(String.fromCodePoint(token.codePointAt(0)!))))].join('|') || '(?!)', 'gu');

  return {
    problem,
    render(messages, templateArguments = {}, tools = []) {
      const run = (change: Change): string => {
        const text = compiled.render({
          ...(mapStrings(templateArguments, change) as object),
          messages: toTemplateMessages(messages, options.template!, change),
          ...(tools.length === 0 ? {} : { tools: tools.map((tool) => toTemplateTool(tool, change)) }),
          add_generation_prompt: true,
          bos_token: options.bosToken,
          eos_token: options.eosToken,
        });
        if (text.length > MAX_PROMPT_CHARACTERS) throw new HearthError('template_limit', 'The chat template of this model made a prompt of more than 4 MiB.');
        return text;
      };
      try {
        return withTimeLimit(() => protect(run), RENDER_MS, LIMITS);
      } catch (error) {
        if (isHearthError(error)) throw error;
        throw new HearthError('invalid_value', `The chat template of this model refuses the conversation: ${(error as Error).message}`, { cause: error });
      }
    },
  };

  function protect(run: (change: Change) => string): PromptSegment[] {
    const marks = createMarks();
    const segments = marks.split(run((text) => text.replace(anyToken, marks.hide)));
    const seen = segments.filter((segment) => segment.special).flatMap((segment) => segment.text.match(anyToken) ?? []);
    if (JSON.stringify(ownTokens(run)) === JSON.stringify(seen)) return segments;
    const strict = createMarks();
    return strict.split(run((text) => text.replace(anyStart, strict.hide)));
  }

  /** Control tokens that the template writes around inert words; null when it refuses those. */
  function ownTokens(run: (change: Change) => string): string[] | null {
    try {
      return run((text, isKey) => (isKey === true ? text.replace(anyToken, 'x') : text.trim() === '' ? text : 'x')).match(anyToken) ?? [];
    } catch {
      return null;
    }
  }
}

function refuse(error: HearthError): never {
  throw error;
}

interface Marks {
  hide(text: string): string;
  split(rendered: string): PromptSegment[];
}

/** Private-use characters around random digits: no filter of a template language changes them, and no text can hold them by chance. */
function createMarks(): Marks {
  const secret = Array.from({ length: 3 }, () => String(randomInt(10 ** 9)).padStart(9, '0')).join('');
  const hidden: string[] = [];
  const pattern = new RegExp(`\\uE000${secret}-(\\d+)\\uE001`);
  return {
    hide: (text) => `\uE000${secret}-${hidden.push(text) - 1}\uE001`,
    split: (rendered) =>
      rendered
        .split(pattern)
        .map((part, i) => (i % 2 === 0 ? { text: part, special: true } : { text: hidden[Number(part)] ?? '', special: false }))
        .filter((segment) => segment.text !== ''),
  };
}

const escapePattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
