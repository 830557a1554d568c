import type { IncomingHttpHeaders } from 'node:http';
import { ERRORS, type ErrorCode, isErrorCode } from '../../contract/index.ts';
import { isJsonObject } from '../../core/index.ts';
import { UpstreamFault } from './fault.ts';
import { retryAfterMs } from './wire/retry-after.ts';

/** Faults of one upstream: each by its row of docs/spec/serving.md §6.4. */
export interface Faults {
  /** F1, before the head of an answer. */
  unreachable(cause: unknown): UpstreamFault;
  /** F2 to F5: an answer that is none, with its body. */
  ofStatus(status: number, headers: IncomingHttpHeaders, body: string): UpstreamFault;
  /** F6, F7. */
  timeout(what: string, limitMs: number): UpstreamFault;
  /** F8: an error inside an answer of status 200. */
  ofErrorBody(body: unknown): UpstreamFault;
  /** F9, and F1 after the head. */
  truncated(how: string, cause?: unknown): UpstreamFault;
  /** F10. */
  malformed(how: string, cause?: unknown): UpstreamFault;
  /** F11. */
  empty(): UpstreamFault;
  /** F12. */
  wrongType(type: string): UpstreamFault;
  /** F14, and a body over its limit. */
  tooLarge(limitBytes: number): UpstreamFault;
}

const MAX_MESSAGE = 2_000;

export function createFaults(name: string, nowMs: () => number = Date.now): Faults {
  const broken = (code: ErrorCode, message: string, cause?: unknown) =>
    new UpstreamFault(code, message, { fallback: true, countsForBreaker: true }, cause === undefined ? {} : { cause });
  return {
    unreachable: (cause) => broken('upstream_unreachable', `The upstream ${name} does not answer: ${systemReason(cause)}.`, cause),
    timeout: (what, limitMs) => broken('upstream_timeout', `The upstream ${name} ${what} within ${limitMs / 1_000} s.`),
    truncated: (how, cause) => broken('upstream_truncated', `The answer of the upstream ${name} broke off: ${how}.`, cause),
    malformed: (how, cause) => broken('upstream_malformed', `The upstream ${name} sent what its API does not allow: ${how}.`, cause),
    empty: () => broken('upstream_empty', `The upstream ${name} answered with nothing.`),
    wrongType: (type) => broken('upstream_wrong_type', `The upstream ${name} answered with the type ${type.slice(0, 80) || 'none'}.`),
    tooLarge: (limitBytes) => broken('upstream_event_too_large', `The upstream ${name} sent more than ${limitBytes} bytes at once.`),
    // A wait makes sense only for what passes by itself.
    ofStatus: (status, headers, body) => ofStatus(name, status, parseError(body), mayPass(status) ? retryAfterMs(headers, nowMs()) : undefined),
    ofErrorBody(body) {
      const told = readError(body);
      const status = statusOfWords(told);
      return ofStatus(name, status, told, undefined);
    },
  };
}

const mayPass = (status: number): boolean => status === 408 || status === 429 || status >= 500;

/** What an upstream says of an error, whatever its form. */
interface ToldError {
  readonly message: string;
  readonly type: string | null;
  readonly code: string | null;
  readonly param: string | null;
  /** A status inside of the body. */
  readonly status: number | null;
}

function parseError(body: string): ToldError {
  try {
    return readError(JSON.parse(body));
  } catch {
    const isPage = /^\s*</.test(body);
    return { message: isPage ? 'it sent a page' : body.trim(), type: null, code: null, param: null, status: null };
  }
}

/** `{error: {…}}`, `{error: "…"}`, `{detail}`, `{message, status}`, and a bare string. */
function readError(body: unknown): ToldError {
  const outer = isJsonObject(body) ? body : {};
  const error = outer['error'];
  const inner = isJsonObject(error) ? error : outer;
  const detail = outer['detail'];
  const message = [inner['message'], error, detail, body].find((text): text is string => typeof text === 'string' && text !== '');
  const word = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value.slice(0, 200) : null);
  const number = [inner['code'], inner['status'], inner['status_code'], outer['code'], outer['status']].find(isStatus);
  return {
    message: message ?? (detail === undefined ? '' : JSON.stringify(detail)),
    type: word(inner['type']),
    code: word(inner['code']),
    param: word(inner['param']),
    status: number ?? null,
  };
}

const isStatus = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value >= 400 && value <= 599;

/** The status that belongs to the words of an error in the middle of a stream (Anthropic's and OpenAI's types). */
const STATUS_OF: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  overloaded_error: 529,
  timeout_error: 504,
};

function statusOfWords({ type, code, status }: ToldError): number {
  if (status !== null) return status;
  if (code !== null && isErrorCode(code)) return ERRORS[code].status;
  return STATUS_OF[code ?? ''] ?? STATUS_OF[type ?? ''] ?? 500;
}

/** Codes of ours that stand for a status; others by their class. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_value',
  401: 'upstream_unauthorized',
  403: 'permission_denied',
  404: 'model_not_found',
  408: 'upstream_timeout',
  413: 'request_too_large',
  422: 'upstream_refused',
  429: 'rate_limit_exceeded',
  502: 'upstream_unreachable',
  503: 'upstream_overloaded',
  504: 'upstream_timeout',
  529: 'upstream_overloaded',
};

/** Words of others for codes of ours; what the caller should know exactly. */
const KEPT: ReadonlySet<string> = new Set(['insufficient_quota', 'context_length_exceeded', 'unsupported_parameter', 'model_not_found', 'invalid_json_schema']);

function ofStatus(name: string, status: number, told: ToldError, retryAfter: number | undefined): UpstreamFault {
  const code = codeOf(status, told);
  const text = told.message.slice(0, MAX_MESSAGE);
  const message = text === '' ? `The upstream ${name} answered with status ${status}.` : `The upstream ${name} says: ${text}`;
  return new UpstreamFault(
    code,
    message,
    {
      fallback: status === 404 || status === 408 || status === 429 || status >= 500 || status < 400,
      countsForBreaker: status === 408 || status >= 500 || status < 400,
      misconfigured: status === 401 || status === 403,
      status,
      ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }),
    },
    {
      details: {
        ...(told.param === null ? {} : { param: told.param }),
        ...(told.code === null ? {} : { upstreamCode: told.code }),
        ...(told.type === null ? {} : { upstreamType: told.type }),
        ...(retryAfter === undefined ? {} : { retryAfterS: Math.ceil(retryAfter / 1_000) }),
      },
    },
  );
}

/** A prompt that has no room, in the words of vLLM, SGLang and Anthropic; llama-server has a type for it. */
const NO_ROOM = /maximum context length is \d+|longer than the model's context length|prompt is too long: \d+/i;

function codeOf(status: number, { code, type, message }: ToldError): ErrorCode {
  for (const word of [code, type]) if (word !== null && KEPT.has(word) && isErrorCode(word) && ERRORS[word].status === status) return word;
  if (status === 400 && (type === 'exceed_context_size_error' || NO_ROOM.test(message))) return 'context_length_exceeded';
  const known = CODES[status];
  if (known !== undefined) return known;
  if (status >= 300 && status < 400) return 'upstream_wrong_type';
  return status >= 500 ? 'upstream_error' : 'invalid_value';
}

/** What the system says of a connection that failed, in a few words. */
function systemReason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const inner = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause;
  const code = inner instanceof Error && 'code' in inner ? String(inner.code) : 'code' in cause ? String(cause.code) : '';
  return code === '' ? cause.message : (REASONS[code] ?? code);
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there (ECONNREFUSED)',
  ECONNRESET: 'it closed the connection (ECONNRESET)',
  ENOTFOUND: 'its name is not known (ENOTFOUND)',
  EAI_AGAIN: 'its name could not be looked up (EAI_AGAIN)',
  ETIMEDOUT: 'it took too long to connect (ETIMEDOUT)',
};
