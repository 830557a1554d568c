import type { GenerateRequest } from '../../contract/index.ts';
import type { LoadedModel } from '../loaded-model.ts';

/** New tokens that room is kept for; what an answer needs beyond them it finds or is paused for (docs/spec/serving.md §4 item 2). */
const NEW_TOKENS = 1024;

/**
 * Tokens of cache that a request may come to: its prompt once, and the new tokens of each choice. A cache that grows by steps holds each choice
 * whole, in whole steps.
 */
export async function projectedTokens(
  { session, report }: Pick<LoadedModel, 'session' | 'report'>,
  request: GenerateRequest,
  stepTokens?: number,
): Promise<number> {
  const { tokens, messages, prompt, maxTokens, choices } = request;
  const counted =
    tokens !== undefined
      ? tokens.length
      : (await session.tokenize(messages !== undefined ? { messages } : { text: prompt ?? '', addSpecial: true, parseSpecial: true })).length;
  const fresh = Math.min(maxTokens ?? report.contextTokens, NEW_TOKENS, report.contextTokens);
  return stepTokens === undefined ? counted + choices * fresh : choices * Math.ceil((counted + fresh) / stepTokens) * stepTokens;
}
