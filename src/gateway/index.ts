// Owns: the run loop of loaded models, admission and queues, eviction, and the dialects between wire formats and canonical events.
// Refuses: HTTP, paths from requests, config; it spawns only through the supervisor and knows engines only by their port.
// Called by: stack, api, app.
export { type CompletionEncoding, decodeCompletion, encodeCompletionStream, foldCompletion } from './dialects/openai/completions.ts';
export { decodeChat, decodeMessages } from './dialects/openai/decode-chat.ts';
export { encodeChatStream, type Frame, foldChat } from './dialects/openai/encode-chat.ts';
export { embed, rerank } from './embeddings/embed.ts';
export { createGateway, type Gateway, type GenerateCall, type Target } from './gateway.ts';
export type { GatewayOptions } from './gateway-options.ts';
export type { Generation, GenerationTimings } from './generation.ts';
export type { ListedModel, ModelSource, ResolvedModel } from './model-source.ts';
export type { ResidentPlan } from './resident.ts';
export { createStoreModels } from './store-models.ts';
