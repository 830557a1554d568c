import { z } from 'zod';
import { daemonState } from './daemon-endpoints.ts';
import { modelState } from './openai/models.ts';

/** Version of the routes under /admin/v1; CLI and daemon compare it at connect (docs/spec/stack.md §1). */
export const API_VERSION = 1;

export const healthReply = z.looseObject({ status: z.enum(['ok', 'degraded', 'draining', 'unavailable']) });

export const versionReply = z.strictObject({ name: z.literal('hearth'), version: z.string(), api_version: z.int() });

/** Own fields: strict, because a typing error in an order to the daemon must not pass silently. */
export const loadRequest = z
  .strictObject({
    model: z.string().min(1).max(256).optional(),
    /** Absolute path of a workspace: over the socket or in process only. */
    path: z.string().min(1).max(4096).optional(),
    adapter: z.string().max(256).optional(),
    /** Id of the engine that is to run it; absent: the one that the rules choose. */
    engine: z.string().min(1).max(64).optional(),
    contextTokens: z.int().min(1).max(16_777_216).optional(),
    parallelSequences: z.int().min(1).max(256).optional(),
    ttlSeconds: z.int().min(0).max(31_536_000).nullable().optional(),
    pinned: z.boolean().optional(),
  })
  .refine((value) => (value.model === undefined) !== (value.path === undefined), { error: 'exactly one of model and path is needed', path: ['model'] });

/** What holds the process of a model at this moment (docs/spec/security.md §8, §9). */
export const engineProtection = z.strictObject({
  /** `bubblewrap`, `namespaces`, `sandbox-exec`, `permissions`, `off`. */
  cage: z.string(),
  strength: z.enum(['strong', 'weak', 'none']),
  detail: z.string(),
  /** Why a stronger cage is not used. */
  reason: z.string().nullable(),
  /** A container that the machine seems to be. */
  outer: z.string().nullable(),
  /** Layers of limits that are in force: read back, not assumed. */
  layers: z.array(z.string()),
  limits: z.looseObject({ memoryBytes: z.number(), threads: z.int() }),
  /** What the kernel says that it holds the process to. */
  held: z.array(z.strictObject({ name: z.string(), value: z.number() })),
});

/** One model that the run loop knows. */
export const residentModel = z.strictObject({
  /** The id to use in requests. */
  id: z.string(),
  hash: z.string().nullable(),
  state: modelState,
  engine: z.string().nullable(),
  version: z.string().nullable(),
  device: z.string().nullable(),
  contextTokens: z.int().nullable(),
  parallelSequences: z.int().nullable(),
  memoryBytes: z.number().nullable(),
  pid: z.int().nullable(),
  inFlight: z.int(),
  waiting: z.int(),
  pinned: z.boolean(),
  loadMs: z.number().nullable(),
  /** What became of the numbers of its weights on their way into the engine, such as quantising; null = they are the source's. */
  weights: z.string().nullable(),
  /** What its user should know, such as a chat template that cannot be used. */
  warnings: z.array(z.string()),
  /** Names of the adapters that are loaded beside it. */
  adapters: z.array(z.string()),
  loadedAt: z.string().nullable(),
  expiresAt: z.string().nullable(),
  crashes: z.int(),
  /** null while it has no process. */
  protection: engineProtection.nullable(),
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
});
export type ResidentModel = z.infer<typeof residentModel>;

export const residentList = z.strictObject({ seq: z.int(), models: z.array(residentModel) });

export const unloadRequest = z.strictObject({ model: z.string().min(1).max(256), force: z.boolean().optional() });
export const unloadReply = z.strictObject({ id: z.string(), unloaded: z.boolean() });

export const cancelReply = z.strictObject({ id: z.string(), cancelled: z.boolean() });

export const statusReply = z.strictObject({
  version: z.string(),
  api_version: z.int(),
  pid: z.int(),
  started_at: z.string(),
  draining: z.boolean(),
  listeners: z.array(z.string()),
  /** Settings that make the product less safe than it comes: `security.sandbox off`. */
  weakened: z.array(z.string()),
  /** Alerts that nobody has acknowledged; `worst` is null without one. */
  alerts: z.strictObject({ open: z.int(), worst: z.enum(['info', 'low', 'medium', 'high', 'critical']).nullable() }).optional(),
  daemon: daemonState,
  models: z.array(residentModel),
});

/** GET /admin/v1/catalog: entries of docs/spec/stack.md §4.1; open, because an entry holds more than clients need. */
export const catalogReply = z.looseObject({
  entries: z.array(
    z.looseObject({
      id: z.string(),
      name: z.string(),
      family: z.string(),
      tags: z.array(z.string()),
      paramsB: z.number(),
      contextTokens: z.int(),
      licence: z.looseObject({ id: z.string(), gated: z.boolean() }),
      sources: z.array(z.looseObject({ quant: z.string(), repo: z.string(), sizeBytes: z.number().nullable() })),
      capabilities: z.looseObject({ chat: z.boolean(), toolCalling: z.boolean() }),
      /** Whether one of its sources is in the cache. */
      local: z.boolean(),
    }),
  ),
});
