import { z } from 'zod';
import type { AnswerPart } from '../../contract/index.ts';

/**
 * The messages between an engine session and its worker process (docs/spec/engines.md §1.4): both sides parse what they get with these schemas,
 * and a message that does not parse ends the worker.
 */
export const PROTOCOL_VERSION = 1;

const count = z.int().nonnegative();
const tokens = z.array(count);
const textPart = z.strictObject({ kind: z.literal('text'), text: z.string() });
const chatMessage = z.strictObject({
  role: z.enum(['system', 'user', 'assistant', 'tool']),
  content: z.array(textPart),
  name: z.string().optional(),
  toolCallId: z.string().optional(),
  toolCalls: z.array(z.strictObject({ id: z.string(), name: z.string(), arguments: z.string() })).optional(),
  failed: z.boolean().optional(),
  reasoning: z.string().optional(),
});
const tool = z.strictObject({
  name: z.string().min(1),
  description: z.string().optional(),
  parameters: z.record(z.string(), z.unknown()).optional(),
  strict: z.boolean().optional(),
});
const toolUse = z.strictObject({
  definitions: z.array(tool),
  choice: z.union([z.enum(['none', 'auto', 'required']), z.strictObject({ name: z.string() })]),
  parallel: z.boolean(),
});
const answerFormat = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('json') }),
  z.strictObject({ kind: z.literal('json-schema'), schema: z.unknown() }),
  z.strictObject({ kind: z.literal('grammar'), text: z.string() }),
]);
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
const sampling = z.strictObject({
  temperature: z.number().min(0),
  topK: count,
  topP: z.number().positive().max(1),
  minP: z.number().min(0).max(1),
  repetitionPenalty: z.number().positive(),
  repetitionContextSize: count,
  presencePenalty: z.number(),
  frequencyPenalty: z.number(),
  xtcProbability: z.number().min(0).max(1),
  xtcThreshold: z.number().min(0).max(1),
  logitBias: z.record(z.string().regex(/^\d+$/), z.number()),
  seed: z.number().optional(),
});
const templateArguments = z.record(z.string(), z.unknown());
const reasoning = z.strictObject({ budgetTokens: count.optional() });
const generateRequest = z.strictObject({
  requestId: z.string(),
  messages: z.array(chatMessage).optional(),
  prompt: z.string().optional(),
  tokens: tokens.optional(),
  templateArguments: templateArguments.optional(),
  maxTokens: z.int().positive().optional(),
  stop: z.array(z.string().min(1)),
  sampling,
  choices: z.int().positive(),
  stopAtRoleMarks: z.boolean().optional(),
  logprobs: z.int().min(0).max(20).optional(),
  tools: toolUse.optional(),
  format: answerFormat.optional(),
  reasoning: reasoning.optional(),
  adapter: z.strictObject({ name: z.string(), scale: z.number().min(0).max(2) }).optional(),
  cacheSalt: z.string().max(256).optional(),
});

const id = count;

/** Messages to the worker. `sequence` names one generate request, `id` one question that is answered by `reply` or by an `error` with that id. */
export const toWorker = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('load'), options: z.record(z.string(), z.unknown()) }),
  z.strictObject({ kind: z.literal('generate'), sequence: id, request: generateRequest }),
  z.strictObject({ kind: z.literal('cancel'), sequence: id }),
  z.strictObject({
    kind: z.literal('tokenize'),
    id,
    text: z.string().optional(),
    addSpecial: z.boolean().optional(),
    parseSpecial: z.boolean().optional(),
    messages: z.array(chatMessage).optional(),
    templateArguments: templateArguments.optional(),
    tools: toolUse.optional(),
    reasoning: reasoning.optional(),
  }),
  z.strictObject({ kind: z.literal('detokenize'), id, tokens }),
  z.strictObject({ kind: z.literal('template'), id, messages: z.array(chatMessage), templateArguments: templateArguments.optional() }),
  z.strictObject({
    kind: z.literal('embed'),
    id,
    inputs: z.array(z.union([z.string(), tokens])).min(1),
    pooling: z.enum(['cls', 'mean', 'last']).optional(),
    prompt: z.string().optional(),
    truncate: z.boolean().optional(),
  }),
  z.strictObject({ kind: z.literal('rerank'), id, query: z.string(), documents: z.array(z.string()).min(1) }),
  z.strictObject({ kind: z.literal('score'), id, tokens: tokens.min(2) }),
  z.strictObject({ kind: z.literal('adapter-load'), id, name: z.string().min(1).max(256), directory: z.string().min(1).max(1024) }),
  z.strictObject({ kind: z.literal('adapter-unload'), id, name: z.string() }),
  z.strictObject({ kind: z.literal('adapter-list'), id }),
  z.strictObject({ kind: z.literal('threads'), id, threads: z.int().positive() }),
  z.strictObject({ kind: z.literal('stats'), id }),
  z.strictObject({ kind: z.literal('health'), id }),
  z.strictObject({ kind: z.literal('clear'), id }),
  z.strictObject({ kind: z.literal('stop') }),
]);

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
export type ToWorker = z.infer<typeof toWorker>;
export type FromWorker = z.infer<typeof fromWorker>;
export type WorkerGenerateRequest = z.infer<typeof generateRequest>;

/** The text or the parts of a `step`. */
export function stepText(parts: readonly AnswerPart[]): { readonly text: string; readonly parts?: z.infer<typeof answerPart>[] } {
  const plain = parts.every((part) => part.kind === 'text-delta' && part.logprobs === undefined);
  return plain
    ? { text: parts.map((part) => (part.kind === 'text-delta' ? part.text : '')).join('') }
    : { text: '', parts: [...parts] as z.infer<typeof answerPart>[] };
}
