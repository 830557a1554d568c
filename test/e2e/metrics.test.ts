import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { FAMILIES } from '../../src/telemetry/metrics/families.ts';
import { createMetricsRegistry, LABEL_VALUE_LIMIT } from '../../src/telemetry/metrics/registry.ts';
import { fakeModels } from '../support/http-fixture.ts';
import { startObserved } from '../support/observed-http.ts';

const model = 'org/fake';
const user = (content: string) => [{ role: 'user' as const, content }];
const promtool = spawnSync('promtool', ['--version']).status === 0;

/** Names of docs/spec/serving.md §7 and docs/spec/security.md §17. */
const NAMES = `requests_total prompt_tokens_total cached_prompt_tokens_total generated_tokens_total model_loads_total model_unloads_total engine_restarts_total
upstream_attempts_total fallbacks_total upstream_protocol_violations_total rejections_total prefix_cache_hits_total prefix_cache_misses_total
prefix_cache_evictions_total slow_clients_cut_total cost_usd_total request_duration_seconds time_to_first_token_seconds inter_token_seconds queue_wait_seconds
model_load_seconds gateway_overhead_seconds event_loop_lag_seconds requests_running requests_waiting kv_cache_bytes kv_cache_usage_ratio prefix_cache_bytes
model_memory_bytes memory_budget_bytes memory_used_bytes memory_pressure_level breaker_state stream_clients build_info security_events_total model_verify_total
model_verify_seconds auth_failures_total engine_kills_total engine_rss_bytes audit_chain_ok sbom_vulnerabilities vuln_db_age_seconds`.split(/\s+/);

describe('/metrics', () => {
  test('[security G75] every name is there, its values are right under known load, and 10,000 names of models stay one label value', async () => {
    await using server = await startObserved({ tokenMs: 5 });
    const first = await (await server.get('/metrics')).text();
    for (const name of NAMES) expect(first).toMatch(new RegExp(`^# TYPE hearth_${name} (counter|gauge|histogram)$`, 'm'));

    // Two answers of four tokens for prompts of three, one as a stream; one that runs into its limit; one that is cancelled; names that lead nowhere.
    await server.openai.chat.completions.create({ model, messages: user('a b c') });
    for await (const _ of await server.openai.chat.completions.create({ model, messages: user('a b c'), stream: true })) void _;
    await server.openai.chat.completions.create({ model, messages: user('a b c'), max_tokens: 2 });
    const abort = new AbortController();
    const cut = await server.openai.chat.completions.create({ model, messages: user('word '.repeat(300)), stream: true }, { signal: abort.signal });
    for await (const _ of cut) abort.abort();
    for (let index = 0; index < 20; index++) await server.openai.chat.completions.create({ model: `nobody-${index}`, messages: user('x') }).catch(() => {});

    const route = 'route="/v1/chat/completions"';
    const of = `model="${model}",upstream="fake"`;
    await expect.poll(() => server.metric(`hearth_requests_total{${route},${of},outcome="client_cancel"}`)).toBe(1);
    expect(await server.metric(`hearth_requests_total{${route},${of},outcome="ok"}`)).toBe(3);
    expect(await server.metric(`hearth_requests_total{${route},model="other",upstream="none",outcome="client_error"}`)).toBe(20);
    expect(await server.metric(`hearth_prompt_tokens_total{${of}}`)).toBe(9);
    expect(await server.metric(`hearth_generated_tokens_total{${of},kind="text"}`)).toBe(10);
    expect(await server.metric(`hearth_time_to_first_token_seconds_count{${of}}`)).toBe(4);
    expect(await server.metric(`hearth_inter_token_seconds_count{${of}}`)).toBeGreaterThanOrEqual(3 + 3 + 1);
    expect(await server.metric(`hearth_queue_wait_seconds_count{${of}}`)).toBe(4);
    expect(await server.metric(`hearth_finishes_total{model="${model}",reason="length"}`)).toBe(1);
    expect(await server.metric(`hearth_model_loads_total{model="${model}",result="ok"}`)).toBe(1);
    expect(await server.metric(`hearth_model_load_seconds_count{model="${model}"}`)).toBe(1);
    expect(await server.metric(`hearth_requests_running{model="${model}"}`)).toBe(0);
    expect(await server.metric('hearth_memory_budget_bytes')).toBeGreaterThan(0);
    // The buckets of a histogram hold all that came, and their sum is at least what the engine was told to take.
    expect(await server.metric(`hearth_inter_token_seconds_bucket{${of},le="+Inf"}`)).toBe(await server.metric(`hearth_inter_token_seconds_count{${of}}`));
    expect(await server.metric(`hearth_inter_token_seconds_sum{${of}}`)).toBeGreaterThan(7 * 0.004);

    const held = await server.openai.chat.completions.create({ model, messages: user('word '.repeat(300)), stream: true });
    const reader = held[Symbol.asyncIterator]();
    await reader.next();
    expect(await server.metric(`hearth_requests_running{model="${model}"}`)).toBe(1);
    expect(await server.metric('hearth_stream_clients')).toBe(1);
    held.controller.abort();

    const { pid } = server.gateway.snapshot().models[0]!;
    process.kill(pid!, 'SIGKILL');
    await expect.poll(() => server.metric(`hearth_engine_restarts_total{model="${model}",reason="crash"}`)).toBe(1);
    expect(await server.metric(`hearth_model_unloads_total{model="${model}",reason="crash"}`)).toBe(1);

    const registry = createMetricsRegistry(FAMILIES);
    for (let index = 0; index < 10_000; index++) registry.add('hearth_requests_total', ['/v1/chat/completions', `model-${index}`, 'fake', 'ok']);
    const values = [...(await registry.text()).matchAll(/hearth_requests_total\{[^}]*model="([^"]*)"[^}]*\} (\d+)/g)];
    expect(values).toHaveLength(LABEL_VALUE_LIMIT + 1);
    expect(values.find(([, value]) => value === 'other')?.[2]).toBe(String(10_000 - LABEL_VALUE_LIMIT));
  });

  test.skipIf(!promtool)('[serving V79] what it says passes the lint of promtool (needs promtool on the PATH)', async () => {
    await using server = await startObserved({}, { models: fakeModels([model, 'quo"te\\back']) });
    await server.openai.chat.completions.create({ model, messages: user('hello') });
    await server.openai.chat.completions.create({ model: 'quo"te\\back', messages: user('hello') });
    const text = await (await server.get('/metrics')).text();
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    expect(`${checked.stdout}${checked.stderr}`).toBe('');
    expect(checked.status).toBe(0);
  });

  test('a stream that breaks, an engine that stalls and a full queue are told apart', async () => {
    await using server = await startObserved({ dieAfterTokens: 4 });
    await server.openai.chat.completions.create({ model, messages: user('a b c d e f'), stream: false }).catch(() => {});
    await expect
      .poll(() => server.metric(`hearth_requests_total{route="/v1/chat/completions",model="${model}",upstream="fake",outcome="engine_error"}`))
      .toBe(1);

    await using busy = await startObserved({ tokenMs: 50, parallel: 1 }, { gateway: { queueLimit: 1 } });
    const ask = () => busy.openai.chat.completions.create({ model, messages: user('a b c d e f g h') }).catch(() => {});
    await busy.openai.chat.completions.create({ model, messages: user('x') });
    const all = [ask(), ask(), ask()];
    await expect.poll(() => busy.metric('hearth_rejections_total{reason="queue_full"}')).toBe(1);
    await expect.poll(() => busy.metric(`hearth_requests_waiting{model="${model}"}`)).toBe(1);
    await Promise.all(all);
    expect(await busy.metric(`hearth_requests_total{route="/v1/chat/completions",model="${model}",upstream="fake",outcome="rejected_overload"}`)).toBe(1);
  });

  test('over TCP it needs a key; dashboards of vLLM and llama.cpp find their names where the configuration asks for them', async () => {
    await using plain = await startObserved();
    expect((await fetch(`${plain.baseUrl}/metrics`)).status).toBe(401);
    await using server = await startObserved({}, { telemetry: { aliases: ['vllm', 'llamacpp'] } });
    await server.openai.chat.completions.create({ model, messages: user('a b c') });
    expect(await server.metric(`vllm:prompt_tokens_total{model_name="${model}"}`)).toBe(3);
    expect(await server.metric(`vllm:generation_tokens_total{model_name="${model}"}`)).toBe(4);
    expect(await server.metric(`vllm:request_success_total{model_name="${model}",finished_reason="stop"}`)).toBe(1);
    expect(await server.metric(`vllm:time_to_first_token_seconds_count{model_name="${model}"}`)).toBe(1);
    expect(await server.metric(`llamacpp:tokens_predicted_total{model_name="${model}"}`)).toBe(4);
    expect(await server.metric(`llamacpp:requests_processing{model_name="${model}"}`)).toBe(0);
    expect(await (await plain.get('/metrics')).text()).not.toMatch(/vllm:|llamacpp:/);
  });
});
