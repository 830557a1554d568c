// Owns: text work that engines share: chat templates, stop tokens and stop strings, sampling, grammars, tool calls and reasoning parts.
// Refuses: models, processes, files; everything here is pure.
// Called by: engines and their worker programs.
export { type AnswerGuide, createAnswerGuide } from './answer/answer-guide.ts';
export {
  type AnswerDialect,
  type AnswerPlan,
  answerDialect,
  checkAnswerWishes,
  enforceableSchema,
  planAnswer,
  templateFeatures,
} from './answer/answer-plan.ts';
export type { TokenScores } from './answer/logprob-queue.ts';
export { type AnswerOutput, type AnswerText, createAnswerText, type TokenToText } from './answer-text.ts';
export { type ChatRenderer, type ChatRendererOptions, createChatRenderer, type PromptSegment } from './chat-template.ts';
export { buildTokenTrie, type CompiledGrammar, compileGrammar, type TokenTrie } from './grammar/index.ts';
export { type Adjustment, createPenaltyState } from './penalties.ts';
export { createSampler, type LogitCandidates, type Sampler } from './sampler.ts';
export { ROLE_MARKS, type StopTokenSource, stopTokenIds } from './stop-tokens.ts';
export { hasToolSlot } from './tools/index.ts';
