import { z } from 'zod';

/**
 * Messages of a worker process to its engine session (docs/spec/engines.md §1.4), parsed with these schemas; the other way: to-worker.ts. A
 * message that does not parse ends the worker.
 */
const count = z.int().nonnegative();
const tokens = z.array(count);
const probability = z.object({ id: count, token: z.string(), bytes: z.array(count), logprob: z.number() });
const tokenLogprob = probability.extend({ top: z.array(probability) });
/** A part of an answer as it goes over the wire. */
const answerPart = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('text-delta'), text: z.string(), logprobs: z.array(tokenLogprob).optional() }),
  z.object({ kind: z.literal('reasoning-delta'), text: z.string() }),
  z.object({ kind: z.literal('tool-start'), toolIndex: count, id: z.string(), name: z.string() }),
  z.object({ kind: z.literal('tool-delta'), toolIndex: count, argumentsJson: z.string() }),
  z.object({ kind: z.literal('tool-end'), toolIndex: count }),
]);
const id = count;
const memory = z.object({ weightsBytes: count, kvBytes: count, computeBytes: count, processBytes: count });

export const loadReport = z.object({
  version: z.string(),
  device: z.string(),
  contextTokens: count,
  modelContextTokens: count,
  parallelSequences: count,
  ranks: count,
  kvType: z.string().optional(),
  measured: memory,
  loadMs: z.number(),
  /** What the chat template can do; absent: not known. */
  tools: z.boolean().optional(),
  reasoning: z.boolean().optional(),
  weightsNote: z.string().optional(),
  warnings: z.array(z.string()).optional(),
});

export const sessionStats = z.object({
  memory,
  running: count,
  waiting: count,
  promptTokensComputed: count,
  promptTokensCached: count,
  generatedTokens: count,
  steps: count,
  batchSizes: z.array(count),
  draftedTokens: count,
  acceptedTokens: count,
  lastStepMs: z.number(),
  lastProgressAtMs: z.number(),
  adapterBytes: count.optional(),
  cache: z.object({ totalCells: count, heldCells: count, prefixCells: count }).optional(),
});

export const adapterReport = z.object({
  name: z.string(),
  kind: z.enum(['lora', 'dora']),
  rank: count,
  modules: count,
  fileBytes: count,
  memoryBytes: count,
  loadMs: z.number(),
});

/** Replies: float32 values little-endian as base64, since JSON numbers are three times as long. */
export const embedReply = z.object({ vectors: z.array(z.base64()), promptTokens: z.array(count), truncated: z.array(count).optional() });
export const rerankReply = z.object({ scores: z.array(z.number()), promptTokens: count });
export const scoreReply = z.object({ logProbabilities: z.base64() });

/** Messages from the worker. */
export const fromWorker = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('hello'), version: z.int(), build: z.string(), device: z.string() }),
  z.object({ kind: z.literal('load-progress'), doneBytes: z.number().nonnegative(), totalBytes: z.number().nonnegative() }),
  z.object({ kind: z.literal('ready'), report: loadReport }),
  z.object({ kind: z.literal('start'), sequence: id, promptTokens: count, cachedTokens: count }),
  z.object({ kind: z.literal('prefill-progress'), sequence: id, doneTokens: count, totalTokens: count }),
  /** `parts` takes the place of `text` where there is more to tell than plain text. */
  z.object({ kind: z.literal('step'), sequence: id, choice: count, tokens, text: z.string(), parts: z.array(answerPart).optional() }),
  z.object({
    kind: z.literal('finish'),
    sequence: id,
    choice: count,
    reason: z.enum(['stop', 'length', 'tool_calls', 'content_filter']),
    stopString: z.string().optional(),
    invalidToolCalls: z.array(z.object({ name: z.string().nullable(), raw: z.string(), reason: z.string() })).optional(),
  }),
  z.object({ kind: z.literal('done'), sequence: id, promptTokens: count, cachedTokens: count, completionTokens: count, reasoningTokens: count }),
  z.object({ kind: z.literal('error'), sequence: id.optional(), id: id.optional(), code: z.string(), message: z.string(), param: z.string().optional() }),
  z.object({ kind: z.literal('reply'), id, value: z.unknown() }),
  z.object({ kind: z.literal('log'), level: z.enum(['debug', 'info', 'warning', 'error']), message: z.string() }),
]);

export type AdapterReport = z.infer<typeof adapterReport>;
export type WirePart = z.infer<typeof answerPart>;
export type LoadReportMessage = z.infer<typeof loadReport>;
export type SessionStatsMessage = z.infer<typeof sessionStats>;
export type FromWorker = z.infer<typeof fromWorker>;
