import { HearthError } from '../../core/index.ts';
import type { Architecture, ModelConfig } from './model-graph.ts';

/** Keys of config.json that say nothing about the numbers of a forward pass: training, tokenizer, packaging. */
const NEUTRAL = new Set(
  `model_type architectures quantization quantization_config torch_dtype dtype transformers_version use_cache initializer_range attention_dropout
  hidden_dropout embd_pdrop attn_pdrop resid_pdrop classifier_dropout pretraining_tp rope_interleaved is_llama_config bos_token_id eos_token_id pad_token_id
  unk_token_id sep_token_id decoder_start_token_id id2label label2id problem_type task_specific_params tokenizer_class prefix finetuning_task
  return_dict output_attentions output_hidden_states output_scores torchscript chunk_size_feed_forward is_decoder is_encoder_decoder
  tie_encoder_decoder transformers.js_config auto_map unsloth_version unsloth_fixed max_sequence_length license library_name
  max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty
  length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences forced_bos_token_id forced_eos_token_id
  remove_invalid_values router_aux_loss_coef output_router_logits router_jitter_noise router_z_loss_coef exponential_decay_length_penalty suppress_tokens begin_suppress_tokens use_bfloat16 tf_legacy_loss`.split(
    /\s+/,
  ),
);

/** Refuses a key that could change the graph and that the architecture does not understand. Inert values (null, false, empty) pass. */
export function refuseUnknownKeys(architecture: Pick<Architecture, 'modelType' | 'keys'>, config: ModelConfig): void {
  const understood = new Set(architecture.keys);
  for (const [key, value] of Object.entries(config)) {
    if (understood.has(key) || NEUTRAL.has(key) || key.startsWith('_') || isInert(value)) continue;
    throw new HearthError('model_load_failed', `config.json: ${architecture.modelType} with ${key} = ${brief(value)} is not supported.`, { details: { key } });
  }
}

export function integer(config: ModelConfig, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) throw wrongValue(key, config[key], 'a whole number above 0');
  return value;
}

export function positive(config: ModelConfig, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) throw wrongValue(key, config[key], 'a number above 0');
  return value;
}

/** A number that is not negative; null counts as 0, a missing key as `fallback`. */
export function numberOr(config: ModelConfig, key: string, fallback: number): number {
  const value = config[key] === undefined ? fallback : (config[key] ?? 0);
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw wrongValue(key, value, 'a number, 0 or more');
  return value;
}

/** A list of whole numbers from 0 on. */
export function wholeNumbers(config: ModelConfig, key: string, fallback: readonly number[]): readonly number[] {
  const value = config[key] ?? fallback;
  if (!Array.isArray(value) || value.some((entry) => !Number.isSafeInteger(entry) || entry < 0)) throw wrongValue(key, value, 'a list of whole numbers');
  return value as readonly number[];
}

export function flag(config: ModelConfig, key: string, fallback: boolean): boolean {
  const value = config[key] ?? fallback;
  if (typeof value !== 'boolean') throw wrongValue(key, value, 'true or false');
  return value;
}

export function wrongValue(key: string, value: unknown, wanted: string): HearthError {
  return new HearthError('model_load_failed', `config.json: ${key} = ${brief(value)}, but ${wanted} is needed.`, { details: { key } });
}

/** Says that something is absent. */
export function isInert(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

const brief = (value: unknown): string => (JSON.stringify(value) ?? 'missing').slice(0, 120);

/** JSON has no infinity; transformers writes it so. */
const isInfinity = (value: unknown): boolean => (value as { readonly __float__?: unknown } | null)?.__float__ === 'Infinity';

/** Lowest and highest of a range; the highest may be infinite. */
export function limits(config: ModelConfig, key: string, fallback: readonly [number, number]): readonly [number, number] {
  const given = config[key] ?? fallback;
  const value = Array.isArray(given) ? given.map((bound) => (isInfinity(bound) ? Number.POSITIVE_INFINITY : bound)) : given;
  if (!Array.isArray(value) || value.length !== 2 || value.some((bound) => typeof bound !== 'number' || Number.isNaN(bound)) || value[0] > value[1])
    throw wrongValue(key, value, 'two numbers, the lower one first');
  return [value[0], value[1]];
}
