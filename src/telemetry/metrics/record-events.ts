import type { AnswerObservation, ProductEvent, RequestEndEvent } from '../../contract/index.ts';
import type { FAMILIES } from './families.ts';
import type { LabelValues, MetricsRegistry } from './registry.ts';

type Name = keyof typeof FAMILIES;

/** Turns each event into the series that it belongs to; answers the listener. */
export function recordEvents(registry: MetricsRegistry): (event: ProductEvent) => void {
  const add = (name: Name, labels: LabelValues = [], by = 1) => registry.add(name, labels, by);
  const observe = (name: Name, labels: LabelValues, milliseconds: number) => registry.observe(name, labels, milliseconds / 1000);

  function request(event: RequestEndEvent): void {
    const { route, outcome, answers, code } = event;
    // A name that led to no model is text of the client: it becomes no label.
    const model = event.model ?? (event.scope === 'inference' ? 'other' : 'none');
    const upstream = event.upstream ?? 'none';
    add('hearth_requests_total', [route, model, upstream, outcome]);
    observe('hearth_request_duration_seconds', [route, model, upstream], event.durationMs);
    if (outcome.startsWith('rejected_')) add('hearth_rejections_total', [code ?? outcome]);
    if (code === 'invalid_api_key') add('hearth_auth_failures_total');
    if (outcome === 'slow_client') add('hearth_slow_clients_cut_total');
    for (const each of answers) answer(each);
    const first = answers[0];
    if (first) observe('hearth_gateway_overhead_seconds', [], first.startMs);
  }

  function answer({ model, upstream, timings, usage, pieces, gapsMs, endMs, finishReasons, request: asked }: AnswerObservation): void {
    const of = [model, upstream];
    observe('hearth_queue_wait_seconds', of, timings.queueMs);
    observe('hearth_answer_seconds', of, endMs);
    observe('hearth_prefill_seconds', of, timings.prefillMs);
    observe('hearth_decode_seconds', of, timings.decodeMs);
    observe('hearth_inference_seconds', of, timings.prefillMs + timings.decodeMs);
    for (const reason of finishReasons) add('hearth_finishes_total', [model, reason]);
    if (asked?.maxTokens !== undefined) registry.observe('hearth_request_max_tokens', of, asked.maxTokens);
    if (pieces.text + pieces.reasoning + pieces.tool > 0) observe('hearth_time_to_first_token_seconds', of, timings.firstTokenMs);
    for (const gap of gapsMs) observe('hearth_inter_token_seconds', of, gap);
    if (!usage) return;
    const { promptTokens, cachedTokens, completionTokens } = usage;
    registry.observe('hearth_request_prompt_tokens', of, promptTokens);
    registry.observe('hearth_request_generated_tokens', of, completionTokens);
    add('hearth_prompt_tokens_total', of, promptTokens);
    add('hearth_cached_prompt_tokens_total', of, cachedTokens);
    for (const [kind, tokens] of Object.entries(tokensByKind(usage, pieces))) if (tokens > 0) add('hearth_generated_tokens_total', [...of, kind], tokens);
    add(cachedTokens > 0 ? 'hearth_prefix_cache_hits_total' : 'hearth_prefix_cache_misses_total', [model]);
  }

  return (event) => {
    switch (event.kind) {
      case 'request-end':
        return request(event);
      case 'model-load-end':
        add('hearth_model_loads_total', [event.model, 'ok']);
        return observe('hearth_model_load_seconds', [event.model], event.durationMs);
      case 'model-load-error':
        return add('hearth_model_loads_total', [event.model, event.code === 'cancelled' ? 'cancelled' : 'error']);
      case 'model-unload-end':
        return add('hearth_model_unloads_total', [event.model, event.reason]);
      case 'engine-restart':
        return add('hearth_engine_restarts_total', [event.model, event.reason]);
      case 'engine-kill':
        return add('hearth_engine_kills_total', [event.reason]);
      case 'prefix-cache-clear':
        return add('hearth_prefix_cache_evictions_total', [event.model, event.reason]);
      case 'upstream-attempt':
        return add('hearth_upstream_attempts_total', [event.upstream, event.result]);
      case 'fallback':
        return add('hearth_fallbacks_total', [event.from, event.to, event.reason]);
      case 'upstream-violation':
        return add('hearth_upstream_protocol_violations_total', [event.upstream, event.violation]);
      case 'breaker-change':
        return registry.set('hearth_breaker_state', [event.upstream, event.model], { closed: 0, 'half-open': 1, open: 2 }[event.state]);
      case 'cost':
        return add('hearth_cost_usd_total', [event.upstream], event.usd);
      case 'security-event':
        return add('hearth_security_events_total', [event.type, event.severity]);
      case 'model-verify':
        add('hearth_model_verify_total', [event.result]);
        return observe('hearth_model_verify_seconds', [], event.durationMs);
      case 'memory-pressure':
        return registry.set('hearth_memory_pressure_level', [], { normal: 0, soft: 1, hard: 2 }[event.level]);
    }
  };
}

/** Engines count reasoning apart; tokens of tool calls are told from those of text by how many pieces of each came. */
export function tokensByKind(
  usage: NonNullable<AnswerObservation['usage']>,
  pieces: AnswerObservation['pieces'],
): { readonly text: number; readonly reasoning: number; readonly tool: number } {
  const reasoning = Math.min(usage.reasoningTokens, usage.completionTokens);
  const rest = usage.completionTokens - reasoning;
  const shown = pieces.text + pieces.tool;
  const tool = shown === 0 ? 0 : Math.round((rest * pieces.tool) / shown);
  return { text: rest - tool, reasoning, tool };
}
