import { z } from 'zod';
import { REQUEST_LIMITS } from '../request-limits.ts';
import { samplingFields } from './chat.ts';

/** Wire shapes of POST /v1/responses and its neighbours: loose, because unknown fields are ignored or passed through (docs/spec/serving.md §2.4). */

const { max_tokens: _, n: __, stream_options: ___, ...sampling } = samplingFields;

const contentPart = z.looseObject({ type: z.string().max(64) });

const inputItem = z.looseObject({
  type: z.string().max(64).nullish(),
  id: z.string().max(256).nullish(),
  role: z.string().max(32).nullish(),
  content: z.union([z.string(), z.array(contentPart).max(REQUEST_LIMITS.parts)]).nullish(),
});
export type ResponseInputItem = z.infer<typeof inputItem>;

const tool = z.looseObject({
  type: z.string().max(64),
  name: z.string().max(128).nullish(),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});

/** What decides the prompt: input_tokens takes these fields alone. */
const promptFields = {
  model: sampling.model,
  input: z.union([z.string(), z.array(inputItem).min(1).max(REQUEST_LIMITS.messages)]),
  instructions: z.string().nullish(),
  previous_response_id: z.string().min(1).max(256).nullish(),
  tools: z.array(tool).max(REQUEST_LIMITS.tools).nullish(),
  tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: z
    .looseObject({
      format: z
        .looseObject({
          type: z.string().max(64),
          name: z.string().max(128).nullish(),
          schema: z.record(z.string(), z.unknown()).nullish(),
          strict: z.boolean().nullish(),
        })
        .nullish(),
      verbosity: z.string().max(32).nullish(),
    })
    .nullish(),
  reasoning: z.looseObject({ effort: z.string().max(32).nullish(), summary: z.string().max(32).nullish() }).nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  truncation: z.string().max(32).nullish(),
};

export const responseTokensRequest = z.looseObject(promptFields);
export type ResponseTokensRequest = z.infer<typeof responseTokensRequest>;

export const responseRequest = z.looseObject({
  ...sampling,
  ...promptFields,
  max_output_tokens: z.int().min(1).max(Number.MAX_SAFE_INTEGER).nullish(),
  max_tool_calls: z.int().min(1).max(Number.MAX_SAFE_INTEGER).nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  store: z.boolean().nullish(),
  background: z.boolean().nullish(),
  include: z.array(z.string().max(256)).max(64).nullish(),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
  user: z.string().max(256).nullish(),
  safety_identifier: z.string().max(256).nullish(),
  prompt_cache_key: z.string().max(256).nullish(),
});
export type ResponseRequest = z.infer<typeof responseRequest>;

const itemStatus = z.enum(['in_progress', 'completed', 'incomplete']);
const tokenProbability = z.looseObject({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()) });
const tokenLogprob = tokenProbability.extend({ top_logprobs: z.array(tokenProbability) });
export type ResponseLogprob = z.infer<typeof tokenLogprob>;

const outputText = z.looseObject({ type: z.literal('output_text'), text: z.string(), annotations: z.array(z.unknown()), logprobs: z.array(tokenLogprob) });
const summaryText = z.looseObject({ type: z.literal('summary_text'), text: z.string() });

const outputItem = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('message'), id: z.string(), status: itemStatus, role: z.literal('assistant'), content: z.array(outputText) }),
  z.looseObject({ type: z.literal('function_call'), id: z.string(), status: itemStatus, call_id: z.string(), name: z.string(), arguments: z.string() }),
  z.looseObject({ type: z.literal('reasoning'), id: z.string(), status: itemStatus, summary: z.array(summaryText) }),
]);
export type ResponseOutputItem = z.infer<typeof outputItem>;

const usage = z.looseObject({
  input_tokens: z.int(),
  input_tokens_details: z.looseObject({ cached_tokens: z.int(), cache_write_tokens: z.int() }),
  output_tokens: z.int(),
  output_tokens_details: z.looseObject({ reasoning_tokens: z.int() }),
  total_tokens: z.int(),
});

export const responseReply = z.object({
  id: z.string(),
  object: z.literal('response'),
  /** Unix seconds. */
  created_at: z.int(),
  completed_at: z.int().nullable(),
  status: z.enum(['in_progress', 'completed', 'incomplete', 'failed']),
  incomplete_details: z.looseObject({ reason: z.enum(['max_output_tokens', 'content_filter']) }).nullable(),
  model: z.string(),
  previous_response_id: z.string().nullable(),
  instructions: z.string().nullable(),
  output: z.array(outputItem),
  error: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
  tools: z.array(z.looseObject({ type: z.literal('function'), name: z.string() })),
  tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]),
  truncation: z.literal('disabled'),
  parallel_tool_calls: z.boolean(),
  text: z.looseObject({ format: z.looseObject({ type: z.string() }) }),
  top_p: z.number(),
  presence_penalty: z.number(),
  frequency_penalty: z.number(),
  top_logprobs: z.int(),
  temperature: z.number(),
  reasoning: z.looseObject({ effort: z.string().nullable(), summary: z.string().nullable() }),
  user: z.string().optional(),
  usage: usage.nullable(),
  max_output_tokens: z.int().nullable(),
  max_tool_calls: z.int().nullable(),
  store: z.boolean(),
  background: z.literal(false),
  service_tier: z.literal('default'),
  metadata: z.record(z.string(), z.string()),
  safety_identifier: z.string().nullable(),
  prompt_cache_key: z.string().nullable(),
});
export type ResponseReply = z.infer<typeof responseReply>;

/** Events of a stream: `type` names the event, `sequence_number` counts them from 0. */
export const responseEvent = z.looseObject({ type: z.string(), sequence_number: z.int() });
export type ResponseEvent = z.infer<typeof responseEvent>;

export const responseTokensReply = z.looseObject({ object: z.literal('response.input_tokens'), input_tokens: z.int() });
export const deletedResponse = z.looseObject({ id: z.string(), object: z.literal('response.deleted'), deleted: z.literal(true) });
