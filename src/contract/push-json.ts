import { z } from 'zod';

const count = z.int().min(0);
const text = z.string();

/** The 8 things that can be wrong with a folder before it is sent (docs/spec/store.md §9). */
export const ANOMALY_CODES = [
  'config_missing',
  'config_invalid_json',
  'no_weights_found',
  'empty_weight_file',
  'lfs_pointer_detected',
  'index_parse_error',
  'index_missing_shard',
  'partial_marker',
] as const;
export type AnomalyCode = (typeof ANOMALY_CODES)[number];

const workspaceHealthSchema = z.object({
  files_count: count,
  total_bytes: count,
  config: z.object({ exists: z.boolean(), valid_json: z.boolean(), path: text.nullable() }),
  weights: z.object({
    count,
    formats: z.array(text),
    index: z.object({ has_index: z.boolean(), missing: z.array(text) }),
    /** Numbered shards are all there; true where no file is numbered. */
    pattern_complete: z.boolean(),
  }),
  anomalies: z.array(z.object({ severity: z.enum(['error', 'warn']), code: z.enum(ANOMALY_CODES), message: text, path: text.optional() })),
  /** No anomaly is an error. */
  healthy: z.boolean(),
});

const changeSummary = z.object({ added: count, modified: count, deleted: count });

/** `data` of push (docs/spec/store.md §2), open. */
export const pushDataSchema = z.looseObject({
  repo_id: text,
  branch: text,
  repo_url: text,
  commit_sha: text.nullable(),
  commit_url: text.nullable(),
  uploaded_files_count: count.nullable(),
  local_files_count: count.nullable(),
  no_changes: z.boolean().nullable(),
  created_repo: z.boolean(),
  created_branch: z.boolean().optional(),
  message: text,
  change_summary: changeSummary.nullable(),
  workspace_health: workspaceHealthSchema.optional(),
  /** On the hub, not in the folder, and kept. */
  remote_only_files: z.array(text).optional(),
  uploaded_bytes: count.optional(),
  /** What --check-only found that a push would refuse. */
  refused: z.array(z.object({ path: text, code: text, message: text })).optional(),
  dry_run: z.boolean().optional(),
  dry_run_summary: changeSummary.optional(),
  added_files: z.array(text).optional(),
  modified_files: z.array(text).optional(),
  deleted_files: z.array(text).optional(),
  would_create_repo: z.boolean().optional(),
  would_create_branch: z.boolean().optional(),
  experimental: z.literal(false),
});

export type PushData = z.infer<typeof pushDataSchema>;
export type WorkspaceHealth = z.infer<typeof workspaceHealthSchema>;
