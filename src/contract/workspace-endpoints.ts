import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';
import { cloneDataSchema, convertDataSchema } from './store-json.ts';

const path = z.string().min(1).max(4096);

export const cloneRequest = z.strictObject({
  /** `NAME[:VARIANT][@REVISION]`. */
  model: z.string().min(1).max(512),
  /** Name in the workspace home, or over the socket a path. */
  target: path.optional(),
  /** Base of relative paths; over the socket only. */
  workingDirectory: path.optional(),
  branch: z.string().max(256).optional(),
  healthCheck: z.boolean().optional(),
  /** Ask the hub although the cache has the model. */
  fromHub: z.boolean().optional(),
  forceResume: z.boolean().optional(),
});

export const QUANTISE_BITS = [2, 3, 4, 6, 8] as const;
export const QUANTISE_GROUPS = [32, 64, 128] as const;

export const convertRequest = z.strictObject({
  /** Name in the workspace home, or over the socket a path. */
  source: path,
  target: path,
  workingDirectory: path.optional(),
  repairIndex: z.boolean().optional(),
  repair: z.boolean().optional(),
  quantize: z.literal(QUANTISE_BITS).optional(),
  groupSize: z.literal(QUANTISE_GROUPS).optional(),
  to: z.enum(['gguf', 'mlx']).optional(),
  exact: z.boolean().optional(),
  verify: z.enum(['sample', 'full']).optional(),
  skipHealth: z.boolean().optional(),
});

const progress = z.looseObject({ kind: z.literal('progress'), step: z.string(), doneBytes: z.number(), totalBytes: z.number() });
const notice = z.looseObject({ kind: z.literal('notice'), message: z.string() });
const cloneEvent = z.discriminatedUnion('kind', [progress, notice, z.looseObject({ kind: z.literal('result'), data: cloneDataSchema })]);
const convertEvent = z.discriminatedUnion('kind', [progress, notice, z.looseObject({ kind: z.literal('result'), data: convertDataSchema })]);

/** clone and convert: progress as events, the `data` of the verb's JSON document as the last one. */
export const workspaceEndpoints = {
  storeClone: defineEndpoint({
    id: 'storeClone',
    method: 'POST',
    path: '/admin/v1/store/clone',
    scope: 'models',
    summary: 'Copy a model into an editable workspace, from the cache or the hub.',
    body: cloneRequest,
    events: cloneEvent,
  }),
  storeConvert: defineEndpoint({
    id: 'storeConvert',
    method: 'POST',
    path: '/admin/v1/store/convert',
    scope: 'models',
    summary: 'Repair, quantise or convert a model into a new workspace.',
    body: convertRequest,
    events: convertEvent,
  }),
} as const;
