import { z } from 'zod';
import { REQUEST_LIMITS } from '../request-limits.ts';

/** Wire shapes of POST /v1/messages and /v1/messages/count_tokens: loose, because unknown fields are ignored or passed through (docs/spec/serving.md §2.3). */

/** One block of a content or of `system`; what it needs depends on its type and is checked where it is read. */
const block = z.looseObject({ type: z.string().min(1).max(64) });
export type AnthropicBlock = z.infer<typeof block>;
const blocks = z.array(block).max(1024);
const content = z.union([z.string(), blocks], { error: 'a string or a list of blocks is needed' });

const message = z.looseObject({ role: z.enum(['user', 'assistant', 'system']), content });
export type AnthropicMessage = z.infer<typeof message>;

export const anthropicTool = z.looseObject({
  name: z.string().max(128).nullish(),
  /** Absent or `custom`: a tool of the client; others are run by the server or have a fixed form. */
  type: z.string().max(64).nullish(),
  description: z.string().nullish(),
  input_schema: z.record(z.string(), z.unknown()).nullish(),
  /** Every keyword of the schema has to be enforced; absent: as many as can be. */
  strict: z.boolean().nullish(),
});
export type AnthropicTool = z.infer<typeof anthropicTool>;

/** What the prompt is made of: all that tokens are counted for. */
const promptFields = {
  model: z.string().min(1).max(256),
  messages: z.array(message).min(1).max(REQUEST_LIMITS.messages),
  system: content.nullish(),
  tools: z.array(anthropicTool).max(REQUEST_LIMITS.tools).nullish(),
  tool_choice: z
    .looseObject({ type: z.enum(['auto', 'any', 'tool', 'none']), name: z.string().max(128).nullish(), disable_parallel_tool_use: z.boolean().nullish() })
    .nullish(),
  thinking: z.looseObject({ type: z.string().max(32), budget_tokens: z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullish() }).nullish(),
  output_config: z
    .looseObject({ effort: z.string().max(32).nullish(), format: z.looseObject({ type: z.string().max(32), schema: z.unknown().optional() }).nullish() })
    .nullish(),
};

export const countTokensRequest = z.looseObject(promptFields);
export type CountTokensRequest = z.infer<typeof countTokensRequest>;
export const countTokensReply = z.looseObject({ input_tokens: z.int() });

export const messagesRequest = z.looseObject({
  ...promptFields,
  max_tokens: z.int().min(1).max(Number.MAX_SAFE_INTEGER),
  stream: z.boolean().nullish(),
  stop_sequences: z.array(z.string().max(256)).max(16).nullish(),
  temperature: z.number().min(0).max(1).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).max(1_000_000).nullish(),
  /** Extension, as in the other API. */
  seed: z.int().min(Number.MIN_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER).nullish(),
  metadata: z.looseObject({ user_id: z.string().max(512).nullish() }).nullish(),
});
export type MessagesRequest = z.infer<typeof messagesRequest>;

const textBlock = z.looseObject({ type: z.literal('text'), text: z.string() });
const thinkingBlock = z.looseObject({ type: z.literal('thinking'), thinking: z.string(), signature: z.string() });
const toolUseBlock = z.looseObject({ type: z.literal('tool_use'), id: z.string(), name: z.string(), input: z.record(z.string(), z.unknown()) });
const contentBlock = z.discriminatedUnion('type', [textBlock, thinkingBlock, toolUseBlock]);
export type AnthropicContentBlock = z.infer<typeof contentBlock>;

export const ANTHROPIC_STOP_REASONS = ['end_turn', 'max_tokens', 'stop_sequence', 'tool_use', 'refusal', 'pause_turn'] as const;
const stopReason = z.enum(ANTHROPIC_STOP_REASONS);
export type AnthropicStopReason = z.infer<typeof stopReason>;

const usageFields = {
  input_tokens: z.int(),
  cache_creation_input_tokens: z.int(),
  cache_read_input_tokens: z.int(),
  output_tokens: z.int(),
  output_tokens_details: z.looseObject({ thinking_tokens: z.int() }).optional(),
};
export const anthropicUsage = z.looseObject(usageFields);
export type AnthropicUsage = z.infer<typeof anthropicUsage>;

export const messagesReply = z.looseObject({
  id: z.string(),
  type: z.literal('message'),
  role: z.literal('assistant'),
  model: z.string(),
  content: z.array(contentBlock),
  stop_reason: stopReason.nullable(),
  stop_sequence: z.string().nullable(),
  usage: anthropicUsage,
});
export type MessagesReply = z.infer<typeof messagesReply>;

const delta = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('text_delta'), text: z.string() }),
  z.looseObject({ type: z.literal('thinking_delta'), thinking: z.string() }),
  z.looseObject({ type: z.literal('signature_delta'), signature: z.string() }),
  z.looseObject({ type: z.literal('input_json_delta'), partial_json: z.string() }),
]);
export type AnthropicDelta = z.infer<typeof delta>;

export const messagesEvent = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('message_start'), message: messagesReply }),
  z.looseObject({ type: z.literal('content_block_start'), index: z.int(), content_block: contentBlock }),
  z.looseObject({ type: z.literal('content_block_delta'), index: z.int(), delta }),
  z.looseObject({ type: z.literal('content_block_stop'), index: z.int() }),
  z.looseObject({
    type: z.literal('message_delta'),
    delta: z.looseObject({ stop_reason: stopReason, stop_sequence: z.string().nullable() }),
    usage: anthropicUsage,
  }),
  z.looseObject({ type: z.literal('message_stop') }),
]);
export type MessagesEvent = z.infer<typeof messagesEvent>;

/** An item of /v1/models, and the page of them, for a client with an `anthropic-version` header (docs/spec/serving.md §2.5). */
export interface AnthropicModelItem {
  readonly type: 'model';
  readonly id: string;
  readonly display_name: string;
  /** RFC 3339. */
  readonly created_at: string;
  readonly max_input_tokens: number | null;
}

export interface AnthropicModelList {
  readonly data: readonly AnthropicModelItem[];
  readonly has_more: boolean;
  readonly first_id: string | null;
  readonly last_id: string | null;
}
