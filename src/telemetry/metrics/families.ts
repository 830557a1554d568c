import type { FamilySpec } from './registry.ts';

const TTFT = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const INTER_TOKEN = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const REQUEST = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const TOKENS = [1, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144];
const SHORT = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

const counter = (help: string, ...labels: string[]): FamilySpec => ({ type: 'counter', help, labels });
const gauge = (help: string, ...labels: string[]): FamilySpec => ({ type: 'gauge', help, labels });
const histogram = (help: string, buckets: readonly number[], ...labels: string[]): FamilySpec => ({ type: 'histogram', help, buckets, labels });

/** Every series of `/metrics` under its own name (docs/spec/serving.md §7, docs/spec/security.md §17). */
export const FAMILIES = {
  hearth_requests_total: counter('Requests that ended, by how they ended.', 'route', 'model', 'upstream', 'outcome'),
  hearth_prompt_tokens_total: counter('Tokens of prompts, cached ones among them.', 'model', 'upstream'),
  hearth_cached_prompt_tokens_total: counter('Tokens of prompts that were evaluated before.', 'model', 'upstream'),
  hearth_generated_tokens_total: counter('Tokens of answers, by what they are.', 'model', 'upstream', 'kind'),
  hearth_finishes_total: counter('Choices that ended, by why.', 'model', 'reason'),
  hearth_model_loads_total: counter('Loads of models that ended.', 'model', 'result'),
  hearth_model_unloads_total: counter('Models that left the memory, by why.', 'model', 'reason'),
  hearth_engine_restarts_total: counter('Engine processes that ended unasked.', 'model', 'reason'),
  hearth_engine_kills_total: counter('Engine processes that were ended for going over a limit.', 'reason'),
  hearth_upstream_attempts_total: counter('Tries at a target, by how each ended.', 'upstream', 'result'),
  hearth_fallbacks_total: counter('Requests that went on to another target.', 'from', 'to', 'reason'),
  hearth_upstream_protocol_violations_total: counter('Answers of upstreams that broke their protocol.', 'upstream', 'kind'),
  hearth_rejections_total: counter('Requests that were refused, by the code of the refusal.', 'reason'),
  hearth_prefix_cache_hits_total: counter('Prompts that found a part of themselves evaluated.', 'model'),
  hearth_prefix_cache_misses_total: counter('Prompts that found nothing of themselves evaluated.', 'model'),
  hearth_prefix_cache_evictions_total: counter('Prefix caches that were dropped.', 'model', 'reason'),
  hearth_slow_clients_cut_total: counter('Streams that were cut because their reader took nothing.'),
  hearth_cost_usd_total: counter('What upstreams cost, in US dollars.', 'upstream'),
  hearth_auth_failures_total: counter('Requests without a valid key where one is needed.'),
  hearth_security_events_total: counter('Events of the security log.', 'type', 'severity'),
  hearth_model_verify_total: counter('Verifications of models.', 'result'),
  hearth_request_duration_seconds: histogram('From the arrival of a request to its last byte.', REQUEST, 'route', 'model', 'upstream'),
  hearth_time_to_first_token_seconds: histogram('From the arrival of a request to its first content.', TTFT, 'model', 'upstream'),
  hearth_inter_token_seconds: histogram('From one piece of an answer to the next.', INTER_TOKEN, 'model', 'upstream'),
  hearth_queue_wait_seconds: histogram('Time in the queue, without the load of the model.', REQUEST, 'model', 'upstream'),
  hearth_answer_seconds: histogram('From the arrival of a request to the end of its answer.', REQUEST, 'model', 'upstream'),
  hearth_prefill_seconds: histogram('Evaluation of the prompt.', REQUEST, 'model', 'upstream'),
  hearth_decode_seconds: histogram('From the first piece of an answer to its last.', REQUEST, 'model', 'upstream'),
  hearth_inference_seconds: histogram('Prefill and decode together.', REQUEST, 'model', 'upstream'),
  hearth_request_prompt_tokens: histogram('Tokens of one prompt.', TOKENS, 'model', 'upstream'),
  hearth_request_generated_tokens: histogram('Tokens of one answer.', TOKENS, 'model', 'upstream'),
  hearth_request_max_tokens: histogram('Longest answer that a request allows, in tokens.', TOKENS, 'model', 'upstream'),
  hearth_model_load_seconds: histogram('Time of a load from the start of its process to its first token.', TTFT, 'model'),
  hearth_gateway_overhead_seconds: histogram('Time before the gateway takes up a request: access, parsing, the choice of a target.', SHORT),
  hearth_event_loop_lag_seconds: histogram('How late a timer of the daemon fires.', SHORT),
  hearth_model_verify_seconds: histogram('Time of a verification.', REQUEST),
  hearth_requests_running: gauge('Requests that have a place at an engine.', 'model'),
  hearth_requests_waiting: gauge('Requests that wait for a place.', 'model'),
  hearth_kv_cache_bytes: gauge('Size of the key-value caches.', 'model'),
  hearth_kv_cache_tokens: gauge('Tokens that the key-value cache takes.', 'model'),
  hearth_engine_steps: gauge('Steps of a loaded engine since its load.', 'model'),
  hearth_kv_cache_usage_ratio: gauge('Share of the key-value cache that running requests hold.', 'model'),
  hearth_prefix_cache_bytes: gauge('Part of the key-value cache that holds evaluated prefixes.', 'model'),
  hearth_model_memory_bytes: gauge('Memory of a loaded model as its engine measured it.', 'model', 'kind'),
  hearth_memory_budget_bytes: gauge('Memory that loaded models may take together.'),
  hearth_memory_used_bytes: gauge('Memory that the engine processes take.'),
  hearth_memory_pressure_level: gauge('0 normal, 1 soft, 2 hard.'),
  hearth_breaker_state: gauge('0 closed, 1 half-open, 2 open.', 'upstream', 'model'),
  hearth_stream_clients: gauge('Streams that are open.'),
  hearth_engine_rss_bytes: gauge('Resident memory of an engine process.', 'model'),
  hearth_audit_chain_ok: gauge('1 while every line of the security log fits the one before it.'),
  hearth_sbom_vulnerabilities: gauge('Known weaknesses of the dependencies.', 'severity'),
  hearth_vuln_db_age_seconds: gauge('Age of the list of known weaknesses.'),
  hearth_build_info: gauge('Always 1; its labels tell what runs.', 'version', 'node', 'platform'),
} as const satisfies Record<string, FamilySpec>;
