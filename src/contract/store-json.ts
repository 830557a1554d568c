import { z } from 'zod';
import { pushDataSchema } from './push-json.ts';

/** JSON documents of the shared commands, schema 0.2.3 (docs/spec/store.md §2). Closed objects are strict, open ones keep unknown fields. */

export const JSON_API_SPEC_VERSION = '0.2.3';

const count = z.int().min(0);
const text = z.string();

export const errorObjectSchema = z.looseObject({
  type: text,
  message: text,
  matches: z.array(text).optional(),
  available_hashes: z.array(text).optional(),
  code: text.optional(),
  hint: text.optional(),
  retryable: z.boolean().optional(),
  detail: z.unknown().optional(),
});

export const SHARED_COMMANDS = ['list', 'show', 'health', 'pull', 'rm', 'clone', 'convert', 'version', 'push', 'run', 'server', 'embed'] as const;

export const modelObjectSchema = z.strictObject({
  name: text,
  hash: z
    .string()
    .regex(/^[0-9A-Za-z]{40}$/)
    .nullable(),
  size_bytes: count,
  last_modified: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
  framework: z.enum(['MLX', 'GGUF', 'PyTorch', 'Unknown']),
  model_type: text,
  capabilities: z.array(text),
  health: z.enum(['healthy', 'unhealthy']),
  runtime_compatible: z.boolean(),
  reason: text.nullable(),
  cached: z.boolean(),
  origin: text.nullable().optional(),
  content_hash: z
    .string()
    .regex(/^(sha256:)?[0-9a-f]{64}$/)
    .nullable()
    .optional(),
  hash_modified: text.nullable().optional(),
  clean: z.boolean().nullable().optional(),
  display_name: text.optional(),
  quantization: z.record(z.string(), z.unknown()).nullable().optional(),
});

export const versionDataSchema = z.strictObject({
  cli_version: text,
  json_api_spec_version: text,
  system: z.strictObject({ memory_total_bytes: count.nullable().optional() }).nullable().optional(),
});

export const listDataSchema = z.strictObject({ models: z.array(modelObjectSchema), count });

const showFileSchema = z.strictObject({ name: text, size: text, type: text });
const featureVerdictSchema = z.object({ ok: z.boolean(), engine: text.nullable(), reason: text.nullable(), note: text.optional() });

export const showDataSchema = z.looseObject({
  model: modelObjectSchema,
  workspace_metadata: z.record(z.string(), z.unknown()).nullable().optional(),
  metadata: z
    .looseObject({
      model_type: text.nullable().optional(),
      architecture: text.nullable().optional(),
      quantization: text.nullable().optional(),
      context_length: count.nullable().optional(),
      vocab_size: count.nullable().optional(),
      hidden_size: count.nullable().optional(),
      num_attention_heads: count.nullable().optional(),
      num_hidden_layers: count.nullable().optional(),
    })
    .nullable()
    .optional(),
  files: z.array(showFileSchema).optional(),
  config: z.record(z.string(), z.unknown()).nullable().optional(),
  hash_updated: z.boolean().optional(),
  /** Of a converted model. */
  conversion: z
    .object({ verdict: z.enum(['exact', 'bounded']), elements: count, inexact_elements: count, largest_error: z.number(), statement: text })
    .nullable()
    .optional(),
  reachable: z.record(z.string(), featureVerdictSchema).optional(),
  /** What the last load decided about the files as they are; null: they were not judged yet. */
  trust: z
    .object({
      decision: z.enum(['accepted', 'warned', 'refused', 'unchecked']),
      reason: text.nullable(),
      root_digest: text.nullable(),
      signer: text.nullable(),
      templates: z.array(z.object({ file: text, sha256: text })),
    })
    .nullable()
    .optional(),
  file_details: z.array(z.object({ path: text, size_bytes: count, type: text })).optional(),
});

const healthEntrySchema = z.strictObject({ name: text, status: z.enum(['healthy', 'unhealthy']), reason: text });

export const healthDataSchema = z.strictObject({
  healthy: z.array(healthEntrySchema),
  unhealthy: z.array(healthEntrySchema),
  summary: z.strictObject({ total: count, healthy_count: count, unhealthy_count: count }),
});

export const pullDataSchema = z.looseObject({
  download_status: z.enum([
    'success',
    'already_exists',
    'requires_confirmation',
    'access_denied',
    'failed',
    'error',
    'checking_access',
    'downloading',
    'unknown',
  ]),
  message: text,
  model: text.nullable().optional(),
  expanded_name: text.nullable().optional(),
  commit_hash: text.nullable().optional(),
  preflight_warning: text.nullable().optional(),
  bytes_downloaded: count.optional(),
  /** Files of the repository that the intake policy does not fetch. */
  skipped: z.array(text).optional(),
  /** `hub`, or the second source that was used. */
  source: text.nullable().optional(),
});

export const rmDataSchema = z.looseObject({
  action: z.enum(['unknown', 'ambiguous', 'requires_confirmation', 'delete_hash', 'delete_model', 'deleted']),
  model: text.nullable().optional(),
  message: text.optional(),
  requires_confirmation: z.boolean().optional(),
  matches: z.array(text).optional(),
  lock_files_cleaned: count.optional(),
  locks_detected: z.boolean().optional(),
  lock_files: z.array(text).optional(),
  commit_hash: text.nullable().optional(),
  freed_bytes: count.optional(),
});

export const cloneDataSchema = z.looseObject({
  model: text,
  clone_status: z.enum([
    'success',
    'error',
    'cancelled',
    'pulling',
    'resuming',
    'preparing',
    'cloning',
    'health_checking',
    'pull_failed',
    'cache_not_found',
    'filesystem_error',
    'unknown',
  ]),
  message: text,
  /** Absolute. */
  target_dir: text,
  health_check: z.boolean().optional(),
  health: z.enum(['healthy', 'unhealthy']).nullable().optional(),
  health_reason: text.nullable().optional(),
  commit_hash: text.nullable().optional(),
});

export const convertDataSchema = z.looseObject({
  source: text,
  target: text,
  mode: z.enum(['repair-index', 'quantize']),
  health_check: z.boolean().optional(),
  health_status: z.enum(['healthy', 'unhealthy']).nullable().optional(),
  health_reason: text.nullable().optional(),
  message: text.optional(),
  warning: text.nullable().optional(),
  bits: count.nullable().optional(),
  group_size: count.nullable().optional(),
  content_hash: text.nullable().optional(),
  /** Of `--repair`: names of defects. */
  repair: z.object({ applied: z.array(text), detected_unsafe: z.array(text) }).optional(),
  /** Of `--to`. */
  conversion: z.object({ to: z.enum(['gguf', 'mlx']), verdict: z.enum(['exact', 'bounded']), elements: count, inexact_elements: count }).optional(),
});

export const runDataSchema = z.looseObject({
  model: text,
  prompt: text,
  response: text,
  tokens_generated: count,
  generation_time_s: z.number().min(0),
  reasoning_content: text.nullable().optional(),
  finish_reason: text.nullable().optional(),
  usage: z.object({ prompt_tokens: count, completion_tokens: count, total_tokens: count }).optional(),
  timings: z.object({ load_s: z.number().nullable(), time_to_first_token_s: z.number().nullable(), tokens_per_s: z.number().nullable() }).optional(),
  engine: text.nullable().optional(),
  resolved: z.object({ name: text, hash: text.nullable() }).optional(),
  /** Of a recording that was written down; times in seconds. */
  transcription: z
    .object({
      language: text.nullable(),
      duration_s: z.number().nullable(),
      segments: z.array(z.object({ start: z.number(), end: z.number(), text })),
    })
    .optional(),
});

export const embedDataSchema = z.looseObject({
  records: z.array(
    z.looseObject({
      text,
      embedding: z.array(z.number()),
      metadata: z.object({ model: text, dimensions: count, content_hash: text.nullable(), device: z.enum(['gpu', 'cpu']) }),
    }),
  ),
});

export const serverDataSchema = z.looseObject({
  host: text,
  port: z.int().min(0).max(65535),
  model: text.nullable(),
  max_tokens: count.nullable(),
  embed_backend: text.nullable(),
});

/** The one JSON document that a command prints with `--json`. */
export const envelopeSchema = z.strictObject({
  status: z.enum(['success', 'error']),
  command: z.enum(SHARED_COMMANDS),
  data: z.record(z.string(), z.unknown()).nullable(),
  error: errorObjectSchema.nullable(),
  api_version: z
    .string()
    .regex(/^json-\d+\.\d+\.\d+$/)
    .optional(),
});

/** `data` of each shared command that this version has, on success. */
export const COMMAND_DATA = {
  version: versionDataSchema,
  list: listDataSchema,
  show: showDataSchema,
  health: healthDataSchema,
  pull: pullDataSchema,
  rm: rmDataSchema,
  push: pushDataSchema,
  clone: cloneDataSchema,
  convert: convertDataSchema,
  run: runDataSchema,
  server: serverDataSchema,
  embed: embedDataSchema,
} as const;

export type Envelope = z.infer<typeof envelopeSchema>;
export type ErrorObject = z.infer<typeof errorObjectSchema>;
export type ModelObject = z.infer<typeof modelObjectSchema>;
export type VersionData = z.infer<typeof versionDataSchema>;
export type ListData = z.infer<typeof listDataSchema>;
export type ShowData = z.infer<typeof showDataSchema>;
export type HealthData = z.infer<typeof healthDataSchema>;
export type PullData = z.infer<typeof pullDataSchema>;
export type RmData = z.infer<typeof rmDataSchema>;
export type CloneData = z.infer<typeof cloneDataSchema>;
export type ConvertData = z.infer<typeof convertDataSchema>;
export type RunData = z.infer<typeof runDataSchema>;
export type EmbedData = z.infer<typeof embedDataSchema>;
export type ServerData = z.infer<typeof serverDataSchema>;
