import { ERRORS, type ErrorCode, errorReply, isErrorCode } from '../contract/index.ts';

/** A failure that the server told, or a connection that could not be made; the command line shows message and hint. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  /** Code of the error table. */
  readonly code: ErrorCode;
  /** The next step, in one sentence. */
  readonly hint: string;
  readonly retryable: boolean;
  readonly exitCode: number;
  /** HTTP status; 0 when no answer came, 200 when the failure came inside a stream. */
  readonly status: number;
  readonly param: string | null;
  readonly requestId: string | null;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    options: { status?: number; param?: string | null; requestId?: string | null; details?: Readonly<Record<string, unknown>>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = isErrorCode(code) ? code : 'internal_error';
    const row = ERRORS[this.code];
    this.hint = row.hint;
    this.retryable = row.retryable;
    this.exitCode = row.exitCode;
    this.status = options.status ?? 0;
    this.param = options.param ?? null;
    this.requestId = options.requestId ?? null;
    this.details = options.details ?? {};
  }
}

/** The error of an error body, or one that quotes the status when the body has another shape. */
export function errorFromReply(body: unknown, status: number, requestId: string | null): ClientError {
  const parsed = errorReply.safeParse(body);
  if (!parsed.success)
    return new ClientError('internal_error', `The server answered ${status} without an error that this client understands.`, { status, requestId });
  const { error } = parsed.data;
  return new ClientError(error.code ?? 'internal_error', error.message, {
    status,
    param: error.param,
    requestId: parsed.data.request_id ?? requestId,
    details: error.details ?? {},
  });
}
