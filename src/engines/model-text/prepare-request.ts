import type { GenerateRequest } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Tokenizer } from '../../formats/index.ts';
import {
  type AnswerDialect,
  answerDialect,
  type ChatRenderer,
  type ChatRendererOptions,
  createChatRenderer,
  type PromptSegment,
  ROLE_MARKS,
  stopTokenIds,
} from '../text/index.ts';
import type { PromptInput } from './encode-prompt.ts';
import type { RenderWork } from './render-work.ts';

/** The text side of a loaded model: its files are untrusted, so all of it runs in the worker. */
export interface ModelText {
  readonly tokenizer: Tokenizer;
  readonly renderer: ChatRenderer;
  /** What the renderer was made from, as JSON can carry it. */
  readonly rendererOptions: ChatRendererOptions & { readonly specialTokens: readonly string[] };
  readonly stopTokens: ReadonlySet<number>;
  readonly dialect: AnswerDialect;
}

export function createModelText(tokenizer: Tokenizer): ModelText {
  const textOf = (id: number | null | undefined): string => (id === null || id === undefined ? '' : tokenizer.decode([id], { skipSpecial: false }));
  const rendererOptions = {
    template: tokenizer.chatTemplate,
    bosToken: textOf(tokenizer.bosId),
    eosToken: textOf(tokenizer.eosIds.at(-1)),
    specialTokens: [...tokenizer.specialTokens.keys()],
  };
  const renderer = createChatRenderer(rendererOptions);
  const dialect = answerDialect(renderer.problem === null ? tokenizer.chatTemplate : null, tokenizer.toolParser);
  const stopTokens = new Set(stopTokenIds(tokenizer));
  // There it ends a part, not the answer.
  const end = tokenizer.specialTokens.get('<|end|>');
  if (dialect.harmony && end !== undefined && !tokenizer.eosIds.includes(end)) stopTokens.delete(end);
  return { tokenizer, renderer, rendererOptions, stopTokens, dialect };
}

type PromptSource = Pick<GenerateRequest, 'messages' | 'prompt' | 'tokens' | 'templateArguments' | 'tools' | 'reasoning'>;

/**
 * What becomes the ids of a prompt. A template writes its own BOS; prompts without one get what the tokenizer's files say. In a bare `prompt` control tokens
 * count, since its caller writes the whole prompt (fill-in-the-middle marks, hand-made templates).
 */
export function promptInput(text: ModelText, source: PromptSource, vocabularySize: number): PromptInput {
  const { tokenizer, renderer } = text;
  const given = [source.messages, source.prompt, source.tokens].filter((value) => value !== undefined).length;
  if (given !== 1) throw new HearthError('invalid_value', 'A request needs exactly one of messages, prompt and tokens.');
  if (source.tokens !== undefined) {
    const wrong = source.tokens.find((id) => id >= vocabularySize);
    if (wrong !== undefined) throw new HearthError('invalid_value', `Token id ${wrong} is outside the vocabulary of ${vocabularySize}.`);
    return { tokens: source.tokens };
  }
  const addBos = tokenizer.addBos;
  if (source.prompt !== undefined) return { segments: [{ text: source.prompt, special: true }], addBos };
  const { messages, templateArguments, tools } = conversationOf(source);
  return templated(text, renderer.render(messages, templateArguments, tools));
}

/** The same with the template rendered elsewhere. */
export async function promptInputBy(
  text: ModelText,
  source: PromptSource,
  vocabularySize: number,
  render: (work: RenderWork) => Promise<readonly PromptSegment[]>,
): Promise<PromptInput> {
  const { messages, prompt, tokens } = source;
  if (messages === undefined || prompt !== undefined || tokens !== undefined || text.rendererOptions.template === null)
    return promptInput(text, source, vocabularySize);
  return templated(text, await render({ renderer: text.rendererOptions, ...conversationOf(source) }));
}

const conversationOf = (source: PromptSource): Omit<RenderWork, 'renderer'> => ({
  messages: source.messages ?? [],
  templateArguments: { ...thinking(source), ...source.templateArguments },
  tools: source.tools?.definitions ?? [],
});

function templated({ tokenizer, renderer }: ModelText, segments: readonly PromptSegment[]): PromptInput {
  const byTemplate = tokenizer.chatTemplate !== null && renderer.problem === null;
  return { segments, addBos: tokenizer.addBos && !byTemplate };
}

/** Variables by which templates turn reasoning on and off. */
function thinking({ reasoning }: PromptSource): Readonly<Record<string, unknown>> {
  const budget = reasoning?.budgetTokens;
  return budget === undefined ? {} : { enable_thinking: budget > 0, thinking: budget > 0 };
}

export const stopStrings = (request: Pick<GenerateRequest, 'stop' | 'stopAtRoleMarks'>): string[] => [
  ...request.stop,
  ...(request.stopAtRoleMarks === true ? ROLE_MARKS : []),
];
