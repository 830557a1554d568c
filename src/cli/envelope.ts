import { escapeInJson } from '../core/index.ts';

/** The JSON document of every command (docs/spec/store.md §2): all four fields always, two-space indent. */
export interface Envelope {
  readonly status: 'success' | 'error';
  readonly command: string;
  readonly data: unknown;
  readonly error: ErrorFields | null;
}

export interface ErrorFields {
  readonly type: string;
  readonly message: string;
  readonly matches?: readonly string[];
  readonly available_hashes?: readonly string[];
  readonly code: string;
  readonly hint: string;
  readonly retryable: boolean;
  readonly detail: Readonly<Record<string, unknown>>;
}

export const successEnvelope = (command: string, data: unknown): Envelope => ({ status: 'success', command, data, error: null });
export const errorEnvelope = (command: string, data: unknown, error: ErrorFields): Envelope => ({ status: 'error', command, data, error });
export const printEnvelope = (envelope: Envelope): string => `${escapeInJson(JSON.stringify(envelope, null, 2))}\n`;
