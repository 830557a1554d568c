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
