// Owns: what crosses a boundary: error table, canonical generation events, endpoints and wire schemas.
// Refuses: behaviour; node: imports; anything of ours.
// Called by: every module, clients and the console.
export * from './access-endpoints.ts';
export * from './admin.ts';
export * from './alert-endpoints.ts';
export * from './anthropic/endpoints.ts';
export * from './anthropic/messages.ts';
export * from './audit-endpoints.ts';
export * from './bench-report.ts';
export * from './daemon-endpoints.ts';
export type * from './dependencies-json.ts';
export * from './embedding-endpoints.ts';
export * from './endpoint.ts';
export * from './endpoints.ts';
export * from './engine-endpoints.ts';
export * from './error-reply.ts';
export * from './errors.ts';
export * from './generation.ts';
export * from './observe-endpoints.ts';
export * from './observed.ts';
export * from './openai/audio.ts';
export * from './openai/chat.ts';
export * from './openai/completions.ts';
export * from './openai/embeddings.ts';
export * from './openai/models.ts';
export * from './openai/responses.ts';
export * from './openai/responses-endpoints.ts';
export * from './openapi.ts';
export * from './parser-codes.ts';
export * from './product-events.ts';
export * from './push-endpoints.ts';
export * from './push-json.ts';
export * from './routing-endpoints.ts';
export * from './signing-json.ts';
export * from './store-endpoints.ts';
export * from './store-json.ts';
export * from './trust-endpoints.ts';
export * from './workspace-endpoints.ts';
