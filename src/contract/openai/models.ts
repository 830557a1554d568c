import { z } from 'zod';

/** States of a model at run time (docs/spec/serving.md §5.1). */
const MODEL_STATES = ['unloaded', 'loading', 'ready', 'busy', 'unloading', 'failed'] as const;
export const modelState = z.enum(MODEL_STATES);
export type ModelState = z.infer<typeof modelState>;

/** One item of GET /v1/models (docs/spec/serving.md §2.5). */
export const modelItem = z.looseObject({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
  status: modelState,
  context_length: z.int().nullable(),
  capabilities: z.array(z.string()),
  aliases: z.array(z.string()),
  /** Of an adapter, `<base>+<name>`: the id of its base. */
  parent: z.string().optional(),
  hearth: z.looseObject({
    engine: z.string().nullable(),
    format: z.string(),
    quantization: z.string().nullable(),
    size_bytes: z.number(),
    loaded: z
      .looseObject({
        since: z.string(),
        context_tokens: z.int(),
        parallel_sequences: z.int(),
        memory_bytes: z.number(),
        in_flight: z.int(),
        expires_at: z.string().nullable(),
      })
      .nullable(),
    pinned: z.boolean(),
    adapters: z.array(z.string()),
    upstream: z.string().nullable(),
    local: z.boolean(),
  }),
});
export type ModelItem = z.infer<typeof modelItem>;

export const modelList = z.looseObject({ object: z.literal('list'), data: z.array(modelItem) });
