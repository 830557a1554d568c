import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';
import { healthDataSchema, listDataSchema, pullDataSchema, rmDataSchema, showDataSchema } from './store-json.ts';

const flag = z.enum(['true', 'false']);
const ref = z.strictObject({ ref: z.string().min(1).max(4096) });

const pullRequest = z.strictObject({
  model: z.string().min(1).max(512),
  revision: z.string().max(256).optional(),
  include: z.array(z.string().max(256)).max(64).optional(),
  exclude: z.array(z.string().max(256)).max(64).optional(),
  force: z.boolean().optional(),
  forceResume: z.boolean().optional(),
  update: z.boolean().optional(),
  workers: z.int().min(1).max(16).optional(),
  /** Which source of a catalog model. */
  quant: z.string().max(16).optional(),
});

/** Progress of a long store verb, then its result once as the last event. */
const pullEvent = z.discriminatedUnion('kind', [
  z.looseObject({
    kind: z.literal('progress'),
    file: z.string(),
    fileDoneBytes: z.number(),
    fileTotalBytes: z.number(),
    doneBytes: z.number(),
    totalBytes: z.number(),
  }),
  z.looseObject({ kind: z.literal('notice'), message: z.string() }),
  z.looseObject({ kind: z.literal('result'), data: pullDataSchema }),
]);

/** One route per verb of docs/spec/store.md §1; answers hold the `data` of the verb's JSON document. */
export const storeEndpoints = {
  storeList: defineEndpoint({
    id: 'storeList',
    method: 'GET',
    path: '/admin/v1/store',
    scope: 'observe',
    summary: 'Models in the workspaces and the cache.',
    query: z.strictObject({ pattern: z.string().max(512).optional() }),
    reply: listDataSchema,
  }),
  storeShow: defineEndpoint({
    id: 'storeShow',
    method: 'GET',
    path: '/admin/v1/store/{ref}',
    scope: 'observe',
    summary: 'One model with its metadata, files or config.',
    params: ref,
    query: z.strictObject({ files: flag.optional(), config: flag.optional() }),
    reply: showDataSchema,
  }),
  storeRecalculate: defineEndpoint({
    id: 'storeRecalculate',
    method: 'POST',
    path: '/admin/v1/store/{ref}/recalculate',
    scope: 'models',
    summary: 'Pin the content of a managed workspace as clean.',
    params: ref,
    reply: showDataSchema,
  }),
  storeHealth: defineEndpoint({
    id: 'storeHealth',
    method: 'GET',
    path: '/admin/v1/store/{ref}/health',
    scope: 'observe',
    summary: 'Whether the files of a model are whole; deep hashes every file, online compares with the hub.',
    params: ref,
    query: z.strictObject({ deep: flag.optional(), online: flag.optional() }),
    reply: healthDataSchema,
  }),
  storeRemove: defineEndpoint({
    id: 'storeRemove',
    method: 'DELETE',
    path: '/admin/v1/store/{ref}',
    scope: 'models',
    summary: 'Delete a model from the cache, or with prune only what nothing uses.',
    params: ref,
    query: z.strictObject({ force: flag.optional(), prune: flag.optional() }),
    reply: rmDataSchema,
  }),
  storePull: defineEndpoint({
    id: 'storePull',
    method: 'POST',
    path: '/admin/v1/store/pull',
    scope: 'models',
    summary: 'Fetch a model from the hub; progress as events, the result as the last one.',
    body: pullRequest,
    events: pullEvent,
  }),
} as const;
