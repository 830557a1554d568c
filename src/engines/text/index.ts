// Owns: text work that engines share: chat templates, stop tokens and stop strings, sampling.
// Refuses: models, processes, files; everything here is pure.
// Called by: engines and their worker programs.
export { type AnswerText, createAnswerText, type TokenToText } from './answer-text.ts';
export { type ChatRenderer, type ChatRendererOptions, createChatRenderer, type PromptSegment } from './chat-template.ts';
export { type Adjustment, createPenaltyState } from './penalties.ts';
export { createSampler, type LogitCandidates, type Sampler } from './sampler.ts';
export { createStopMatcher, type StopMatcher } from './stop-matcher.ts';
export { ROLE_MARKS, type StopTokenSource, stopTokenIds } from './stop-tokens.ts';
