import { defineEndpoint } from './endpoint.ts';
import { embeddingReply, embeddingRequest, rerankReply, rerankRequest } from './openai/embeddings.ts';

/** Vectors and rankings (docs/spec/serving.md §1.1). */
export const embeddingEndpoints = {
  embeddings: defineEndpoint({
    id: 'embeddings',
    method: 'POST',
    path: '/v1/embeddings',
    scope: 'inference',
    summary: 'Turn texts into vectors of length 1, in the order of the input.',
    body: embeddingRequest,
    reply: embeddingReply,
  }),
  rerank: defineEndpoint({
    id: 'rerank',
    method: 'POST',
    path: '/v1/rerank',
    aliases: ['/rerank', '/v1/reranking', '/reranking'],
    scope: 'inference',
    summary: 'Order documents by how well they answer a query, best first.',
    body: rerankRequest,
    reply: rerankReply,
  }),
} as const;
