import { z } from 'zod';

/** Wire shapes of POST /v1/embeddings and /v1/rerank (docs/spec/serving.md §1.1, §2.5). */

const tokenId = z.int().min(0).max(0xffff_ffff);
const model = z.string().min(1).max(256);

export const embeddingRequest = z.looseObject({
  model,
  input: z.union([z.string(), z.array(z.string()).min(1).max(2048), z.array(tokenId).min(1), z.array(z.array(tokenId).min(1)).min(1).max(2048)]),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).max(65_536).nullish(),
  /** Extension: which of the model's texts stands in front of the input. */
  input_type: z.enum(['query', 'document']).nullish(),
  /** Extension: the task of a query, for models that take one. */
  instruct: z.string().min(1).max(4096).nullish(),
  /** Extension: an input that is too long is cut and named in the answer; otherwise it is refused. */
  truncate: z.boolean().nullish(),
});
export type EmbeddingRequest = z.infer<typeof embeddingRequest>;

const tokenCounts = z.looseObject({ prompt_tokens: z.int(), total_tokens: z.int() });

/** Our own extension: which model made the vectors, where, and which inputs were cut. */
const embeddingExtension = z.looseObject({
  engine: z.string(),
  model: z.looseObject({ name: z.string(), hash: z.string().nullable() }),
  device: z.string(),
  dimensions: z.int(),
  truncated: z.array(z.int()),
});

export const embeddingReply = z.looseObject({
  object: z.literal('list'),
  data: z.array(z.looseObject({ object: z.literal('embedding'), index: z.int(), embedding: z.union([z.array(z.number()), z.string()]) })),
  model: z.string(),
  usage: tokenCounts,
  system_fingerprint: z.string().optional(),
  hearth: embeddingExtension.optional(),
});
export type EmbeddingReply = z.infer<typeof embeddingReply>;

export const rerankRequest = z.looseObject({
  model,
  query: z.string().min(1),
  documents: z
    .array(z.union([z.string(), z.looseObject({ text: z.string() })]))
    .min(1)
    .max(2048),
  top_n: z.int().min(1).nullish(),
  return_documents: z.boolean().nullish(),
});
export type RerankRequest = z.infer<typeof rerankRequest>;

export const rerankReply = z.looseObject({
  model: z.string(),
  usage: tokenCounts,
  /** Best first. */
  results: z.array(z.looseObject({ index: z.int(), relevance_score: z.number(), document: z.looseObject({ text: z.string() }).optional() })),
});
export type RerankReply = z.infer<typeof rerankReply>;
