import type { GenerateRequest } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';

/** How many tokens the answer may have. Throws context_length_exceeded, invalid_value. */
export function answerRoom(request: GenerateRequest, prompt: readonly number[], vocabularySize: number, contextTokens: number): number {
  if (prompt.length === 0) throw new HearthError('invalid_value', 'The prompt is empty.');
  const room = contextTokens - prompt.length;
  if (room < 1)
    throw new HearthError(
      'context_length_exceeded',
      `The prompt has ${prompt.length} tokens, but the context holds ${contextTokens}, and one is needed for the answer.`,
      { details: { promptTokens: prompt.length, contextTokens } },
    );
  const unknown = Object.keys(request.sampling.logitBias).find((token) => Number(token) >= vocabularySize);
  if (unknown !== undefined) throw new HearthError('invalid_value', `logit_bias names token ${unknown}, but the vocabulary has ${vocabularySize}.`);
  return Math.min(request.maxTokens ?? room, room);
}
