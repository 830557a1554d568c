import { z } from 'zod';
import { REQUEST_LIMITS } from '../request-limits.ts';

/** Wire shapes of POST /v1/chat/completions: loose, because unknown fields are ignored or passed through (docs/spec/serving.md §1.5, §2.1). */

const contentPart = z.looseObject({ type: z.string().max(64), text: z.string().nullish() });

export const chatMessage = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([z.string(), z.array(contentPart).max(REQUEST_LIMITS.parts)]).nullish(),
  name: z.string().max(256).nullish(),
  tool_call_id: z.string().max(256).nullish(),
  tool_calls: z.array(z.looseObject({})).max(128).nullish(),
});

const tokenProbability = z.looseObject({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() });
const tokenLogprob = tokenProbability.extend({ top_logprobs: z.array(tokenProbability) });
const choiceLogprobs = z.looseObject({ content: z.array(tokenLogprob) }).nullable();
export type ChoiceLogprobs = z.infer<typeof choiceLogprobs>;

const stopStrings = z.union([
  z.string().max(REQUEST_LIMITS.stopCharacters),
  z.array(z.string().max(REQUEST_LIMITS.stopCharacters)).max(REQUEST_LIMITS.stopStrings),
]);

/** Fields that chat and plain completions share. */
export const samplingFields = {
  model: z.string().min(1).max(256),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.int().min(1).max(Number.MAX_SAFE_INTEGER).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).max(1_000_000).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  repetition_penalty: z.number().gt(0).max(100).nullish(),
  repetition_context_size: z.int().min(1).max(1_000_000).nullish(),
  xtc_probability: z.number().min(0).max(1).nullish(),
  xtc_threshold: z.number().min(0).max(1).nullish(),
  seed: z.int().min(Number.MIN_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER).nullish(),
  n: z.int().min(1).max(128).nullish(),
  stop: stopStrings.nullish(),
  logit_bias: z.record(z.string(), z.number().min(-100).max(100)).nullish(),
  adapter: z.string().max(256).nullish(),
  adapter_scale: z.number().min(-100).max(100).nullish(),
};

export const chatRequest = z.looseObject({
  ...samplingFields,
  messages: z.array(chatMessage).min(1).max(REQUEST_LIMITS.messages),
  max_completion_tokens: z.int().min(1).max(Number.MAX_SAFE_INTEGER).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z
    .array(
      z.looseObject({
        type: z.string(),
        function: z
          .looseObject({
            name: z.string().min(1).max(128),
            description: z.string().nullish(),
            parameters: z.record(z.string(), z.unknown()).nullish(),
            strict: z.boolean().nullish(),
          })
          .nullish(),
      }),
    )
    .max(REQUEST_LIMITS.tools)
    .nullish(),
  tool_choice: z.union([z.string(), z.looseObject({})]).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  response_format: z.looseObject({ type: z.string(), json_schema: z.looseObject({ schema: z.unknown(), strict: z.boolean().nullish() }).nullish() }).nullish(),
  reasoning_effort: z.string().max(32).nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  grammar: z.string().max(65_536).nullish(),
  chunk: z.int().min(1).max(5).nullish(),
});
export type ChatRequest = z.infer<typeof chatRequest>;

export const usage = z.looseObject({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.looseObject({ cached_tokens: z.int() }).optional(),
  completion_tokens_details: z.looseObject({ reasoning_tokens: z.int() }).optional(),
});
export type Usage = z.infer<typeof usage>;

/** Our own extension on the finish chunk and the JSON answer; other clients ignore it (docs/spec/agents-training.md §1.3). */
export const hearthExtension = z.looseObject({
  stop_string: z.string().optional(),
  invalid_tool_calls: z.array(z.looseObject({ name: z.string().nullable(), raw: z.string(), reason: z.string() })).optional(),
  engine: z.string(),
  model: z.looseObject({ name: z.string(), hash: z.string().nullable() }),
  timings: z.looseObject({
    /** Time that this request waited for a load; 0 when the model was ready. */
    load_ms: z.number(),
    queue_ms: z.number(),
    prefill_ms: z.number(),
    decode_ms: z.number(),
    /** From the arrival of the request to its first token. */
    first_token_ms: z.number(),
    prompt_tokens_per_s: z.number(),
    tokens_per_s: z.number(),
  }),
});
export type HearthExtension = z.infer<typeof hearthExtension>;

const finishReason = z.enum(['stop', 'length', 'tool_calls', 'content_filter']);

export const chatReply = z.looseObject({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: z.int(),
  model: z.string(),
  system_fingerprint: z.string().optional(),
  choices: z.array(
    z.looseObject({
      index: z.int(),
      message: z.looseObject({
        role: z.literal('assistant'),
        content: z.string().nullable(),
        refusal: z.null(),
        reasoning_content: z.string().optional(),
        tool_calls: z
          .array(z.looseObject({ id: z.string(), type: z.literal('function'), function: z.looseObject({ name: z.string(), arguments: z.string() }) }))
          .optional(),
      }),
      finish_reason: finishReason,
      logprobs: choiceLogprobs,
    }),
  ),
  usage,
  hearth: hearthExtension.optional(),
});
export type ChatReply = z.infer<typeof chatReply>;

export const chatChunk = z.looseObject({
  id: z.string(),
  object: z.literal('chat.completion.chunk'),
  created: z.int(),
  model: z.string(),
  system_fingerprint: z.string().optional(),
  choices: z.array(
    z.looseObject({
      index: z.int(),
      delta: z.looseObject({
        role: z.literal('assistant').optional(),
        content: z.string().nullish(),
        reasoning_content: z.string().optional(),
        tool_calls: z
          .array(
            z.looseObject({
              index: z.int(),
              id: z.string().optional(),
              type: z.literal('function').optional(),
              function: z.looseObject({ name: z.string().optional(), arguments: z.string() }),
            }),
          )
          .optional(),
      }),
      finish_reason: finishReason.nullable(),
      logprobs: choiceLogprobs,
    }),
  ),
  usage: usage.nullish(),
  hearth: hearthExtension.optional(),
});
export type ChatChunk = z.infer<typeof chatChunk>;
