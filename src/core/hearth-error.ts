import { ERRORS, type ErrorCode, type ErrorRow } from '../contract/errors.ts';
import { redact, redactFields } from './redact.ts';

/**
 * The only error class of hearth. `details` may be shown to the caller; `cause` never leaves the process.
 * Secrets are stripped from the message and the details when the error is built.
 */
export class HearthError extends Error {
  override readonly name = 'HearthError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(redact(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details === undefined ? {} : redactFields(JSON.parse(JSON.stringify(options.details)) as Record<string, unknown>);
  }

  get row(): ErrorRow {
    return ERRORS[this.code];
  }
}

export const isHearthError = (error: unknown): error is HearthError => error instanceof HearthError;

/** The error itself, or an `internal_error` (or `cancelled` for an abort) that keeps it as cause. */
export function toHearthError(error: unknown): HearthError {
  if (isHearthError(error)) return error;
  if (error instanceof Error && error.name === 'AbortError') return new HearthError('cancelled', 'The operation was cancelled.', { cause: error });
  return new HearthError('internal_error', error instanceof Error ? error.message : String(error), { cause: error });
}
