import { type ErrorReply, openAiErrorType } from '../contract/index.ts';
import { HearthError, isHearthError } from '../core/index.ts';
import type { Caller } from '../security/index.ts';

/**
 * The error as the API tells it: one that we did not foresee says nothing of its inside, and callers on TCP see no paths
 * and no log lines of the process.
 */
export function publicError(error: unknown, caller: Caller): HearthError {
  if (isHearthError(error)) return caller.kind === 'trusted' ? error : withoutInside(error);
  if (error instanceof Error && error.name === 'AbortError') return new HearthError('client_closed_request', 'The client went away.', { cause: error });
  return new HearthError('internal_error', 'Something went wrong inside hearth.', { cause: error });
}

function withoutInside(error: HearthError): HearthError {
  const { lastLines: _, data: __, ...details } = error.details;
  if (error.code === 'route_not_found' || error.code === 'method_not_allowed') return error;
  return new HearthError(error.code, error.message.replaceAll(ABSOLUTE_PATH, '$1'), { cause: error.cause, details });
}

/** The directories of a path such as /home/me/models/x.json. */
const ABSOLUTE_PATH = /(?<![\w/:.])\/(?:[^\s/'"()]+\/)+([^\s/'"()]*)/g;

/** Error body of docs/spec/serving.md §2.2. */
export function errorBody(error: HearthError, requestId: string): ErrorReply {
  const { param, retryAfterS: _, ...details } = error.details;
  return {
    error: {
      message: error.message,
      type: openAiErrorType(error.code),
      param: typeof param === 'string' ? param : null,
      code: error.code,
      retryable: error.row.retryable,
      ...(Object.keys(details).length > 0 ? { details } : {}),
    },
    request_id: requestId,
  };
}

/** Status and headers of an error: Retry-After where waiting helps, `x-should-retry: false` where a repeat cannot. */
export function errorResponse(error: HearthError, requestId: string, headers: Readonly<Record<string, string>> = {}): Response {
  const { status, retryable } = error.row;
  const all = new Headers(headers);
  all.set('content-type', 'application/json');
  if (retryable && (status === 429 || status === 503)) all.set('retry-after', String(retryAfterSeconds(error)));
  if (status >= 500 && !retryable) all.set('x-should-retry', 'false');
  if (status === 401) all.set('www-authenticate', 'Bearer');
  return new Response(JSON.stringify(errorBody(error, requestId)), { status, headers: all });
}

function retryAfterSeconds(error: HearthError): number {
  const wanted = error.details['retryAfterS'];
  return typeof wanted === 'number' && Number.isFinite(wanted) ? Math.max(1, Math.ceil(wanted)) : 1;
}
