import { z } from 'zod';
import { REQUEST_LIMITS } from '../request-limits.ts';
import { chatMessage, hearthExtension, samplingFields, usage } from './chat.ts';

/** Wire shapes of POST /v1/completions, /tokenize, /detokenize and /apply-template (docs/spec/serving.md §1.1). */

const tokenId = z.int().min(0).max(0xffff_ffff);

export const completionRequest = z.looseObject({
  ...samplingFields,
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(64), z.array(tokenId).min(1), z.array(z.array(tokenId).min(1)).min(1).max(64)]),
  suffix: z.string().nullish(),
  echo: z.boolean().nullish(),
  logprobs: z.int().min(0).max(20).nullish(),
  best_of: z.int().min(1).max(128).nullish(),
});
export type CompletionRequest = z.infer<typeof completionRequest>;

const completionChoice = z.looseObject({
  index: z.int(),
  text: z.string(),
  finish_reason: z.enum(['stop', 'length', 'content_filter']).nullable(),
  logprobs: z
    .looseObject({
      tokens: z.array(z.string()),
      token_logprobs: z.array(z.number().nullable()),
      top_logprobs: z.array(z.record(z.string(), z.number()).nullable()).nullable(),
      text_offset: z.array(z.int()),
    })
    .nullable(),
});

export const completionReply = z.looseObject({
  id: z.string(),
  object: z.literal('text_completion'),
  created: z.int(),
  model: z.string(),
  system_fingerprint: z.string().optional(),
  choices: z.array(completionChoice),
  /** In the JSON answer, and in the usage chunk of a stream. */
  usage: usage.nullish(),
  hearth: hearthExtension.optional(),
});
export type CompletionReply = z.infer<typeof completionReply>;

const templateMessages = z.array(chatMessage).min(1).max(REQUEST_LIMITS.messages);

export const tokenizeRequest = z.looseObject({
  model: z.string().min(1).max(256),
  content: z.string().nullish(),
  add_special: z.boolean().nullish(),
  parse_special: z.boolean().nullish(),
  with_pieces: z.boolean().nullish(),
  prompt: z.string().nullish(),
  messages: templateMessages.nullish(),
  add_special_tokens: z.boolean().nullish(),
  return_token_strs: z.boolean().nullish(),
});

export const tokenizeReply = z.looseObject({ tokens: z.array(z.unknown()), count: z.int(), max_model_len: z.int() });

export const detokenizeRequest = z.looseObject({ model: z.string().min(1).max(256), tokens: z.array(tokenId).max(4_000_000) });
export const detokenizeReply = z.looseObject({ content: z.string(), prompt: z.string() });

export const applyTemplateRequest = z.looseObject({
  model: z.string().min(1).max(256),
  messages: templateMessages,
  tools: z.array(z.unknown()).max(REQUEST_LIMITS.tools).nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
});
export const applyTemplateReply = z.looseObject({ prompt: z.string() });
