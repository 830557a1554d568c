import { z } from 'zod';

/** A secret by where it is, or itself in the file that only its owner reads (docs/spec/stack.md §2). */
const secret = z.union([z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/) }), z.string().min(1)]);

const positive = z.int().min(1);
const capabilities = z.array(z.string().min(1).max(40)).max(40);
const price = z.number().min(0);

const model = z.strictObject({
  /** What the server calls it; absent: the same name. */
  id: z.string().min(1).max(256).optional(),
  capabilities: capabilities.optional(),
  contextTokens: positive.optional(),
  maxOutputTokens: positive.optional(),
});

const remote = z.strictObject({
  kind: z.enum(['openai', 'anthropic', 'peer']),
  baseUrl: z.url({ protocol: /^https?$/ }),
  apiKey: secret.optional(),
  /** Names, or names of ours for those of the server. */
  models: z.union([z.array(z.string().min(1).max(256)), z.record(z.string().min(1).max(256), z.union([z.string().min(1).max(256), model]))]).default([]),
  /** Of models that say none of their own. */
  capabilities: capabilities.default(['chat']),
  weight: z.number().positive().max(1_000).default(1),
  maxConcurrent: positive.nullable().default(null),
  dialect: z.enum(['standard', 'mlx-lm', 'ollama', 'vllm-mlx', 'lm-studio', 'llama-server']).default('standard'),
  privacy: z.enum(['local', 'private', 'cloud']).default('cloud'),
  pricePerMillionTokens: z.strictObject({ input: price, cached: price.optional(), output: price }).optional(),
  timeouts: z
    .strictObject({ connectMs: positive.optional(), firstTokenMs: positive.optional(), idleMs: positive.optional(), requestMs: positive.optional() })
    .prefault({}),
  passthroughPaths: z.array(z.string().regex(/^\/(v1\/[A-Za-z0-9/_-]+|tokenize|detokenize|apply-template)$/)).default([]),
  sessionHeaders: z.array(z.string().regex(/^[a-z][a-z0-9-]*$/)).default([]),
  maxEventBytes: positive.max(16 * 1024 * 1024).default(1024 * 1024),
});

/** `remotes.<name>`; docs/guide/remotes.md explains each field. */
export const remotes = z
  .record(z.string().regex(/^[a-z][a-z0-9-]{0,39}$/), remote)
  .default({})
  .describe('Servers of others that answer too, by a name of yours; docs/guide/remotes.md explains the fields.');
