import { z } from 'zod';
import { ERRORS, type ErrorCode } from './errors.ts';

/** Error answer of every route but the Anthropic ones (docs/spec/serving.md §2.2). */
export const errorReply = z.looseObject({
  error: z.looseObject({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
    retryable: z.boolean(),
    /** What may be shown of the cause: matches of an ambiguous name, counts, a refusal's reason. */
    details: z.record(z.string(), z.unknown()).optional(),
  }),
  request_id: z.string().optional(),
});
export type ErrorReply = z.infer<typeof errorReply>;

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
};

/** `error.type` of OpenAI's API for a code of the error table. */
export function openAiErrorType(code: ErrorCode): string {
  const { status } = ERRORS[code];
  return TYPES[status] ?? (status >= 500 ? 'server_error' : 'invalid_request_error');
}

/** Error answer of `/v1/messages*`, and of `/v1/models*` for a client with an `anthropic-version` header (docs/spec/serving.md §2.2). */
export const anthropicErrorReply = z.looseObject({
  type: z.literal('error'),
  error: z.looseObject({
    type: z.string(),
    message: z.string(),
    /** `error_code` is a code of the error table: the client library shows it. */
    details: z.looseObject({ error_code: z.string() }).optional(),
  }),
  request_id: z.string(),
});
export type AnthropicErrorReply = z.infer<typeof anthropicErrorReply>;

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
};

/** `error.type` of Anthropic's API for a code of the error table. */
export function anthropicErrorType(code: ErrorCode): string {
  const { status } = ERRORS[code];
  return ANTHROPIC_TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
}

/** That API says 529 for overload. */
export const anthropicStatus = (code: ErrorCode): number => (ERRORS[code].status === 503 ? 529 : ERRORS[code].status);
