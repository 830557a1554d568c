import { type FamilySnapshot, type FamilySpec, familyText, type Series } from './registry.ts';

export type AliasDialect = 'vllm' | 'llamacpp';

/** The labels that dashboards of both tools expect on each series. */
const MODEL = ['model_name'];

/** The registry's series once more under the names that dashboards of other servers read (docs/spec/security.md §17). */
export function aliasText(dialect: AliasDialect, families: readonly FamilySnapshot[]): string {
  const source = createSource(families);
  return (dialect === 'vllm' ? vllm(source) : llamaCpp(source)).map(familyText).join('');
}

interface Source {
  /** Sums of a counter or gauge over all labels but the model. */
  byModel(name: string, only?: (labels: Readonly<Record<string, string>>) => boolean, fold?: 'sum' | 'mean'): ReadonlyMap<string, number>;
  histogramByModel(name: string): { readonly spec: FamilySpec; readonly series: readonly Series[] };
}

function createSource(families: readonly FamilySnapshot[]): Source {
  const find = (name: string): FamilySnapshot => families.find((family) => family.name === name)!;
  const labelsOf = (family: FamilySnapshot, series: Series): Record<string, string> =>
    Object.fromEntries((family.spec.labels ?? []).map((label, index) => [label, series.labels[index]!]));
  return {
    byModel(name, only = () => true) {
      const family = find(name);
      const sums = new Map<string, number>();
      for (const series of family.series) {
        const labels = labelsOf(family, series);
        if (!only(labels)) continue;
        const model = labels['model'] ?? '';
        sums.set(model, (sums.get(model) ?? 0) + series.value);
      }
      return sums;
    },
    histogramByModel(name) {
      const family = find(name);
      const joined = new Map<string, Series>();
      for (const series of family.series) {
        const model = labelsOf(family, series)['model'] ?? '';
        const known = joined.get(model);
        if (!known) joined.set(model, { ...series, labels: [model], buckets: [...series.buckets!] });
        else {
          for (const [index, count] of series.buckets!.entries()) known.buckets![index]! += count;
          known.sum += series.sum;
          known.count += series.count;
        }
      }
      return { spec: family.spec, series: [...joined.values()] };
    },
  };
}

const family = (name: string, type: 'counter' | 'gauge', help: string, values: ReadonlyMap<string, number>): FamilySnapshot => ({
  name,
  spec: { type, help, labels: MODEL },
  series: [...values].map(([model, value]) => ({ labels: [model], value, sum: 0, count: 0 })),
});

function renamed(source: Source, name: string, from: string): FamilySnapshot {
  const { spec, series } = source.histogramByModel(from);
  return { name, spec: { ...spec, labels: MODEL } as FamilySpec, series };
}

function vllm(source: Source): FamilySnapshot[] {
  const usage = source.byModel('hearth_kv_cache_usage_ratio');
  const finished = (['stop', 'length', 'abort', 'error'] as const).flatMap((reason) =>
    [...source.byModel('hearth_finishes_total', (labels) => labels['reason'] === reason)].map(([model, value]) => ({
      labels: [model, reason],
      value,
      sum: 0,
      count: 0,
    })),
  );
  return [
    family('vllm:num_requests_running', 'gauge', 'Requests in the batch.', source.byModel('hearth_requests_running')),
    family('vllm:num_requests_waiting', 'gauge', 'Requests that wait.', source.byModel('hearth_requests_waiting')),
    family('vllm:kv_cache_usage_perc', 'gauge', 'Share of the KV cache in use, 0 to 1.', usage),
    family('vllm:gpu_cache_usage_perc', 'gauge', 'Share of the KV cache in use, 0 to 1.', usage),
    family('vllm:prompt_tokens_total', 'counter', 'Tokens of prompts.', source.byModel('hearth_prompt_tokens_total')),
    family('vllm:generation_tokens_total', 'counter', 'Tokens of answers.', source.byModel('hearth_generated_tokens_total')),
    { name: 'vllm:request_success_total', spec: { type: 'counter', help: 'Finished requests.', labels: [...MODEL, 'finished_reason'] }, series: finished },
    renamed(source, 'vllm:time_to_first_token_seconds', 'hearth_time_to_first_token_seconds'),
    renamed(source, 'vllm:inter_token_latency_seconds', 'hearth_inter_token_seconds'),
    renamed(source, 'vllm:time_per_output_token_seconds', 'hearth_inter_token_seconds'),
    renamed(source, 'vllm:e2e_request_latency_seconds', 'hearth_answer_seconds'),
    renamed(source, 'vllm:request_queue_time_seconds', 'hearth_queue_wait_seconds'),
    renamed(source, 'vllm:request_prefill_time_seconds', 'hearth_prefill_seconds'),
    renamed(source, 'vllm:request_decode_time_seconds', 'hearth_decode_seconds'),
    renamed(source, 'vllm:request_inference_time_seconds', 'hearth_inference_seconds'),
    renamed(source, 'vllm:request_prompt_tokens', 'hearth_request_prompt_tokens'),
    renamed(source, 'vllm:request_generation_tokens', 'hearth_request_generated_tokens'),
    renamed(source, 'vllm:request_params_max_tokens', 'hearth_request_max_tokens'),
    family('vllm:cache_config_info', 'gauge', 'Size of the KV cache in bytes.', source.byModel('hearth_kv_cache_bytes')),
    family('vllm:lora_requests_info', 'gauge', 'Requests with an adapter.', new Map([['', 0]])),
    family('vllm:admission_rejections', 'gauge', 'Requests that found no place.', source.byModel('hearth_rejections_total')),
    family('vllm:corrupted_requests', 'gauge', 'Answers that broke the protocol.', source.byModel('hearth_upstream_protocol_violations_total')),
  ];
}

function llamaCpp(source: Source): FamilySnapshot[] {
  const sumsOf = (name: string): ReadonlyMap<string, number> => new Map(source.histogramByModel(name).series.map(({ labels, sum }) => [labels[0]!, sum]));
  const prompt = source.byModel('hearth_prompt_tokens_total');
  const predicted = source.byModel('hearth_generated_tokens_total');
  const [promptSeconds, predictedSeconds] = [sumsOf('hearth_prefill_seconds'), sumsOf('hearth_decode_seconds')];
  const steps = source.byModel('hearth_engine_steps');
  return [
    family('llamacpp:prompt_tokens_total', 'counter', 'Tokens of prompts.', prompt),
    family('llamacpp:prompt_seconds_total', 'counter', 'Time of prompts.', promptSeconds),
    family('llamacpp:tokens_predicted_total', 'counter', 'Tokens of answers.', predicted),
    family('llamacpp:tokens_predicted_seconds_total', 'counter', 'Time of answers.', predictedSeconds),
    family('llamacpp:prompt_tokens_seconds', 'gauge', 'Tokens of prompts in a second.', ratio(prompt, promptSeconds)),
    family('llamacpp:predicted_tokens_seconds', 'gauge', 'Tokens of answers in a second.', ratio(predicted, predictedSeconds)),
    family('llamacpp:requests_processing', 'gauge', 'Requests in the batch.', source.byModel('hearth_requests_running')),
    family('llamacpp:requests_deferred', 'gauge', 'Requests that wait.', source.byModel('hearth_requests_waiting')),
    family('llamacpp:n_decode_total', 'counter', 'Steps of the engine.', steps),
    family('llamacpp:n_busy_slots_per_decode', 'gauge', 'Sequences in a step, on average.', ratio(predicted, steps)),
    family('llamacpp:n_tokens_max', 'gauge', 'Tokens of the KV cache.', source.byModel('hearth_kv_cache_tokens')),
  ];
}

const ratio = (above: ReadonlyMap<string, number>, below: ReadonlyMap<string, number>): ReadonlyMap<string, number> =>
  new Map([...above].map(([model, value]) => [model, (below.get(model) ?? 0) > 0 ? value / below.get(model)! : 0]));
