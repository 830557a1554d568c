// Owns: the run loop of loaded models, admission and queues, eviction, and the dialects between wire formats and canonical events.
// Refuses: HTTP, paths from requests, config; it spawns only through the supervisor and knows engines only by their port.
// Called by: stack, api, app.
export type { Answer, AnswerCall, AnswerSource, Attempt, Requester, Target } from './answer.ts';
export { decodeMessagesRequest, decodePrompt, droppedTools } from './dialects/anthropic/decode-request.ts';
export { encodeMessageStream, foldMessage, type MessageEncoding, messageEncoding } from './dialects/anthropic/encode-message.ts';
export type { Frame } from './dialects/frame.ts';
export { type CompletionEncoding, decodeCompletion, encodeCompletionStream, foldCompletion } from './dialects/openai/completions.ts';
export { decodeChat, decodeMessages } from './dialects/openai/decode-chat.ts';
export { encodeChatStream, foldChat } from './dialects/openai/encode-chat.ts';
export { encodeTranscription } from './dialects/openai/encode-transcription.ts';
export { type DecodedResponse, decodeResponse, type ResponseContext, responseTools } from './dialects/responses/decode-response.ts';
export { createResponseEncoder, type ResponseEncoder } from './dialects/responses/encode-response.ts';
export { responseShell } from './dialects/responses/response-shell.ts';
export { conversationAfter, createResponseStore, previousNotFound, type ResponseStore } from './dialects/responses/response-store.ts';
export { embed, rerank } from './embeddings/embed.ts';
export { createGateway, type Gateway } from './gateway.ts';
export type { GatewayOptions } from './gateway-options.ts';
export { createKeyLimits, type KeyLimits, type KeyLimitsOptions } from './limits/key-limits.ts';
export { createRequestGateway, estimatePromptTokens, type RequestGateway } from './limits/request-gateway.ts';
export { answerBatches, type ImageMetadataOptions, planImageBatches } from './media/image-batches.ts';
export { MEDIA_LIMITS, type MediaLimits } from './media/media-limits.ts';
export { checkAudio, createMediaReader, type FetchedMedia, type MediaReader } from './media/media-reader.ts';
export { encodeWholeChat } from './media/whole-chat.ts';
export type { ListedModel, ModelSource, ResolvedModel } from './model-source.ts';
export type { Reconfiguration } from './reconfigure.ts';
export type { ResidentPlan } from './resident.ts';
export type { Routing, RoutingOptions, UpstreamView } from './routing/create-routing.ts';
export type { Explanation } from './routing/explain.ts';
export type { NamedEntry } from './routing/named-entries.ts';
export type { RoutingSettings } from './routing/router.ts';
export { openSpendLedger, type SpendLedger } from './routing/spend-ledger.ts';
export { withLocalFallback } from './routing/state/local-fallback.ts';
export { createMemoryStateStore } from './routing/state/memory-state-store.ts';
export { createRedisStateStore } from './routing/state/redis-state-store.ts';
export type { StateStore } from './state-store.ts';
export { createStoreModels } from './store-models.ts';
export type { Upstream, UpstreamAnswer, UpstreamHealth } from './upstream.ts';
export { createUpstream, type UpstreamOptions } from './upstreams/create-upstream.ts';
