import { ERRORS, type ErrorCode, isErrorCode } from '../contract/index.ts';
import { redact, redactFields, systemError, toHearthError } from '../core/index.ts';
import { errorEnvelope } from './envelope.ts';
import { plain } from './render/plain.ts';

/** An error as the command line tells it. */
export interface CliError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly exitCode: number;
  readonly retryable: boolean;
  /** `error.type` of the envelope (docs/spec/store.md §2). */
  readonly type: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Any thrown value as a row of the error table. Errors of the client carry the same fields as HearthError. */
export function toCliError(error: unknown): CliError {
  const known = readCoded(error) ?? systemError(error) ?? toHearthError(error);
  const row = ERRORS[known.code];
  return {
    code: known.code,
    message: redact(known.message),
    hint: row.hint,
    exitCode: row.exitCode,
    retryable: row.retryable,
    type: row.type ?? known.code,
    details: redactFields(known.details),
  };
}

/** The user's home as `~`, in everything but `data`, which names places on purpose (docs/spec/store.md §13 S8). */
export function withoutHome(error: CliError, userHome: string): CliError {
  if (userHome.length < 2) return error;
  const home = new RegExp(`${userHome.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![\\w.-])`, 'g');
  const short = (value: unknown): unknown => {
    if (typeof value === 'string') return value.replaceAll(home, '~');
    if (Array.isArray(value)) return value.map(short);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, short(item)]));
  };
  const { data, ...details } = error.details;
  return {
    ...error,
    message: error.message.replaceAll(home, '~'),
    details: { ...(short(details) as Record<string, unknown>), ...(data === undefined ? {} : { data: withoutHomeMessage(data, short) }) },
  };
}

/** A hint that speaks of any command, said of the one that was typed. */
export const withCommand = (error: CliError, command: string | null): CliError =>
  command === null ? error : { ...error, hint: error.hint.replaceAll('hearth <command>', `hearth ${command}`) };

/** Partial data of an error repeats its message. */
const withoutHomeMessage = (data: unknown, short: (value: unknown) => unknown): unknown =>
  typeof data === 'object' && data !== null && 'message' in data ? { ...data, message: short(data.message) } : data;

/** `<command>: Error: <message>` and the next step. */
export function renderError(command: string | null, error: CliError): string {
  if (error.code === 'cancelled') return `${command === null ? '' : `${command}: `}${plain(error.message)}\n`;
  const prefix = command === null ? 'Error' : `${command}: Error`;
  const lists = [listed(error.details['matches'], 'Matches'), listed(error.details['available_hashes'], 'Revisions here')].join('');
  return `${prefix}: ${plain(error.message)}\n${lists}Hint: ${error.hint}\n`;
}

/** The envelope of an error; what the work had found out so far becomes its `data`. */
export const errorDocument = (command: string, { details: { data = null, ...detail }, ...error }: CliError) =>
  errorEnvelope(command, data, {
    type: error.type,
    message: error.message,
    ...(Array.isArray(detail['matches']) ? { matches: detail['matches'] as string[] } : {}),
    ...(Array.isArray(detail['available_hashes']) ? { available_hashes: detail['available_hashes'] as string[] } : {}),
    code: error.code,
    hint: error.hint,
    retryable: error.retryable,
    detail,
  });

function readCoded(error: unknown): { code: ErrorCode; message: string; details: Readonly<Record<string, unknown>> } | null {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string' || !isErrorCode(error.code)) return null;
  const details = 'details' in error && typeof error.details === 'object' && error.details !== null ? (error.details as Record<string, unknown>) : {};
  return { code: error.code, message: error.message, details };
}

function listed(value: unknown, title: string): string {
  if (!Array.isArray(value) || value.length === 0) return '';
  return `${title}: ${value.map((item) => plain(String(item))).join(', ')}\n`;
}
