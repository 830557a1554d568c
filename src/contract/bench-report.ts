import { z } from 'zod';

/** One line of a benchmark report, schema 0.2.2 of MLX Knife (docs/spec/store.md §12): closed at the top, unknown values left out. */

export const BENCH_SCHEMA_VERSION = '0.2.2';
export const QUALITY_FLAGS = ['clean', 'degraded_swap', 'degraded_zombies', 'degraded_memory'] as const;
export type QualityFlag = (typeof QUALITY_FLAGS)[number];

const text = z.string();
const amount = z.number().min(0);
const count = z.int().min(0);

const modelSchema = z.looseObject({
  id: text.optional(),
  size_gb: amount.optional(),
  family: text.optional(),
  variant: text.optional(),
  framework: text.optional(),
  quantization: text.optional(),
});

const performanceSchema = z.looseObject({
  tokens_per_sec: amount.optional(),
  ram_peak_mb: amount.optional(),
  duration_s: amount.optional(),
  prompt_tokens: count.optional(),
  completion_tokens: count.optional(),
  model_load_time_s: amount.optional(),
  time_to_first_token_s: amount.optional(),
  cleanup_time_s: amount.optional(),
  peak_ram_gb: amount.optional(),
  stable_ram_gb: amount.optional(),
});

const stopTokensSchema = z.looseObject({
  configured: z.array(text).optional(),
  detected: z.array(text).optional(),
  workaround: text.optional(),
  leaked: z.boolean().optional(),
});

const systemSchema = z.looseObject({
  platform: text.optional(),
  platform_version: text.optional(),
  python_version: text.optional(),
  mlx_version: text.optional(),
  hardware: text.optional(),
  ram_total_gb: amount.optional(),
  hardware_profile: z
    .looseObject({
      model_identifier: text.optional(),
      chip: text.optional(),
      chip_cores_performance: count.optional(),
      chip_cores_efficiency: count.optional(),
      gpu_cores: count.optional(),
      metal_version: text.optional(),
    })
    .optional(),
});

const systemHealthSchema = z.looseObject({
  swap_gb: amount.optional(),
  ram_free_gb: amount.optional(),
  zombies_detected: count.optional(),
  quality_flags: z
    .array(z.enum(QUALITY_FLAGS))
    .refine((flags) => !flags.includes('clean') || flags.length === 1, { error: 'clean stands alone' })
    .optional(),
});

const timelineSchema = z.looseObject({
  server_start_ms: amount.optional(),
  model_load_start_ms: amount.optional(),
  model_load_complete_ms: amount.optional(),
  server_ready_ms: amount.optional(),
  request_sent_ms: amount.optional(),
  first_token_ms: amount.optional(),
  stream_complete_ms: amount.optional(),
  shutdown_request_ms: amount.optional(),
  cleanup_complete_ms: amount.optional(),
});

export const benchLineSchema = z.strictObject({
  schema_version: z.enum(['0.2.2', '0.2.1', '0.2.0', '0.1.0']),
  /** ISO 8601, end of the case. */
  timestamp: z
    .string()
    .refine((value) => /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value) && !Number.isNaN(Date.parse(value)), { error: 'an ISO 8601 time is needed' }),
  /** The version of the program that wrote the line: hearth's own. */
  mlx_knife_version: z.string().regex(/^\d+\.\d+\.\d+/),
  test: text,
  outcome: z.enum(['passed', 'failed', 'skipped']),
  /** Seconds since the epoch. */
  test_start_ts: amount.optional(),
  test_end_ts: amount.optional(),
  duration: amount.optional(),
  model: modelSchema.optional(),
  performance: performanceSchema.optional(),
  stop_tokens: stopTokensSchema.optional(),
  system: systemSchema.optional(),
  system_health: systemHealthSchema.optional(),
  timeline: timelineSchema.optional(),
  metadata: z.looseObject({ inference_modality: z.enum(['vision', 'text', 'audio', 'video']).optional() }).optional(),
});
export type BenchLine = z.infer<typeof benchLineSchema>;

/** One sample of `bench monitor`; the last line of its file is `{"summary": …}`. */
export const monitorSampleSchema = z.looseObject({
  /** Seconds since the epoch. */
  ts: amount,
  elapsed_s: amount,
  ram_free_gb: amount.optional(),
  swap_used_mb: amount.optional(),
  /** 1 normal, 2 warning, 4 critical. */
  memory_pressure: z.union([z.literal(1), z.literal(2), z.literal(4)]).optional(),
  vm_pressure: amount.optional(),
  load_1: amount.optional(),
  load_5: amount.optional(),
  load_15: amount.optional(),
  cpu_user: amount.optional(),
  cpu_sys: amount.optional(),
  cpu_idle: amount.optional(),
  gpu_active: z.boolean().optional(),
  gpu_device_util: amount.optional(),
  gpu_renderer_util: amount.optional(),
  gpu_tiler_util: amount.optional(),
});
export type MonitorSample = z.infer<typeof monitorSampleSchema>;

export const monitorSummarySchema = z.looseObject({
  duration_s: amount,
  samples: count,
  interval_ms: count,
  ram_free_min_gb: amount.optional(),
  ram_free_max_gb: amount.optional(),
  ram_free_avg_gb: amount.optional(),
  swap_max_mb: amount.optional(),
  swap_avg_mb: amount.optional(),
  load_max: amount.optional(),
  load_avg: amount.optional(),
  cpu_user_max: amount.optional(),
  cpu_sys_max: amount.optional(),
  gpu_device_max: amount.optional(),
  gpu_device_avg: amount.optional(),
  gpu_renderer_max: amount.optional(),
  gpu_renderer_avg: amount.optional(),
  exit_code: z.int().nullable().optional(),
  command: text.optional(),
  timestamp: text,
});
export type MonitorSummary = z.infer<typeof monitorSummarySchema>;
