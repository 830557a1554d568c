/**
 * Names of the OpenTelemetry GenAI conventions, which are not stable yet: the one table of them (docs/spec/security.md §17).
 * `version` is that of the conventions.
 */
export const GENAI_NAMES = {
  version: '1.37.0',
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  /** The name of the provider before `OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental`. */
  system: 'gen_ai.system',
  requestModel: 'gen_ai.request.model',
  requestMaxTokens: 'gen_ai.request.max_tokens',
  requestTemperature: 'gen_ai.request.temperature',
  requestTopP: 'gen_ai.request.top_p',
  requestTopK: 'gen_ai.request.top_k',
  requestSeed: 'gen_ai.request.seed',
  requestStop: 'gen_ai.request.stop_sequences',
  requestStream: 'gen_ai.request.stream',
  requestChoices: 'gen_ai.request.choice.count',
  responseId: 'gen_ai.response.id',
  responseModel: 'gen_ai.response.model',
  responseFinishReasons: 'gen_ai.response.finish_reasons',
  responseFirstChunk: 'gen_ai.response.time_to_first_chunk',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheReadTokens: 'gen_ai.usage.cache_read.input_tokens',
  reasoningTokens: 'gen_ai.usage.reasoning.output_tokens',
  inputMessages: 'gen_ai.input.messages',
  outputMessages: 'gen_ai.output.messages',
  errorType: 'error.type',
  serverAddress: 'server.address',
  serverPort: 'server.port',
  tokenType: 'gen_ai.token.type',
} as const;

/** Metrics of the same conventions, with the buckets that they ask for. */
export const GENAI_METRICS = {
  serverDuration: 'gen_ai.server.request.duration',
  serverFirstToken: 'gen_ai.server.time_to_first_token',
  serverPerToken: 'gen_ai.server.time_per_output_token',
  clientTokens: 'gen_ai.client.token.usage',
  clientDuration: 'gen_ai.client.operation.duration',
  clientFirstChunk: 'gen_ai.client.operation.time_to_first_chunk',
  clientPerChunk: 'gen_ai.client.operation.time_per_output_chunk',
} as const;

/** What a route does, in the words of the conventions. */
export function operationOf(route: string): string {
  if (route.includes('embeddings') || route.includes('rerank')) return 'embeddings';
  return route === '/v1/completions' ? 'text_completion' : 'chat';
}
