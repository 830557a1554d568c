import { type AnthropicErrorReply, anthropicErrorType, anthropicStatus, type ErrorReply, openAiErrorType } from '../contract/index.ts';
import { HearthError, isHearthError } from '../core/index.ts';
import type { Caller } from '../security/index.ts';
import { WholeResponse } from './text-response.ts';

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

/** What is told in headers, or is for ourselves. */
function detailsOf({ details }: HearthError): Record<string, unknown> {
  const { retryAfterS: _, retryAfterMs: __, noRetry: ___, attempts: ____, ...told } = details;
  return told;
}

/** Error body of docs/spec/serving.md §2.2. */
export function errorBody(error: HearthError, requestId: string): ErrorReply {
  const { param, ...details } = detailsOf(error);
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

/** Whose API the caller speaks: its errors have that shape. */
export type ErrorShape = 'openai' | 'anthropic';

/** `/v1/messages*`, and `/v1/models*` for a client that says its version of Anthropic's API, unknown routes below them included. */
export function errorShape(pathname: string, anthropicVersion: string | null | undefined): ErrorShape {
  if (/^\/v1\/messages(\/|$)/.test(pathname)) return 'anthropic';
  return typeof anthropicVersion === 'string' && /^\/v1\/models(\/|$)/.test(pathname) ? 'anthropic' : 'openai';
}

/** Error body of Anthropic's API; the library of its clients shows `error_code`. */
export function anthropicErrorBody(error: HearthError, requestId: string): AnthropicErrorReply {
  const details = detailsOf(error);
  return {
    type: 'error',
    error: { type: anthropicErrorType(error.code), message: error.message, details: { ...details, error_code: error.code } },
    request_id: requestId,
  };
}

/** Status, body and headers of an error in the shape of one API. */
export interface ErrorTelling {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export function tellError(error: HearthError, requestId: string, shape: ErrorShape): ErrorTelling {
  const anthropic = shape === 'anthropic';
  return {
    status: anthropic ? anthropicStatus(error.code) : error.row.status,
    body: JSON.stringify(anthropic ? anthropicErrorBody(error, requestId) : errorBody(error, requestId)),
    headers: anthropic ? { 'request-id': requestId } : {},
  };
}

/** The answer of an error: Retry-After where waiting helps, `x-should-retry: false` where a repeat cannot. */
export function errorResponse(error: HearthError, requestId: string, headers: Readonly<Record<string, string>> = {}, shape: ErrorShape = 'openai'): Response {
  const { status, retryable } = error.row;
  const told = tellError(error, requestId, shape);
  const all = new Headers({ ...headers, ...told.headers });
  all.set('content-type', 'application/json');
  const final = error.details['noRetry'] === true;
  if (status === 429 || (status === 503 && retryable && !final) || error.details['retryAfterS'] !== undefined)
    all.set('retry-after', String(retryAfterSeconds(error)));
  // A budget that is spent says when its window ends, which no client should wait for by itself.
  if ((!retryable || final) && (status >= 500 || status === 429)) all.set('x-should-retry', 'false');
  if (status === 401) all.set('www-authenticate', 'Bearer');
  const { attempts } = error.details;
  if (Array.isArray(attempts)) all.set('x-hearth-attempts', encodeURI(attempts.map(({ upstream, outcome }) => `${upstream}=${outcome}`).join(',')));
  return new WholeResponse(told.body, { status: told.status, headers: all });
}

function retryAfterSeconds(error: HearthError): number {
  const wanted = error.details['retryAfterS'];
  return typeof wanted === 'number' && Number.isFinite(wanted) ? Math.max(1, Math.ceil(wanted)) : 1;
}
