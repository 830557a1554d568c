import { type EndpointDefinition, type EndpointEvent, type EndpointInput, type EndpointReply, fillPath } from '../contract/index.ts';
import { ClientError, errorFromReply } from './client-error.ts';
import { readServerSentEvents } from './sse-reader.ts';

export interface ClientOptions {
  /** The way to the server: the global fetch, one over the Unix socket, or the in-process app. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** Such as `http://127.0.0.1:8000`. */
  readonly baseUrl: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Client {
  /** One JSON answer. Throws ClientError. */
  call<E extends EndpointDefinition>(endpoint: E, input: EndpointInput<E>, options?: CallOptions): Promise<EndpointReply<E>>;
  /** The parsed `data:` values of a stream; ends after success and throws ClientError on an error inside the stream or a cut one. */
  stream<E extends EndpointDefinition>(endpoint: E, input: EndpointInput<E>, options?: CallOptions): AsyncGenerator<EndpointEvent<E>, void>;
}

export function createClient(options: ClientOptions): Client {
  async function send(endpoint: EndpointDefinition, input: RawInput, accept: string, call: CallOptions): Promise<Response> {
    const body = input.form === undefined ? (input.body === undefined ? null : JSON.stringify(input.body)) : formOf(input.form, input.file);
    const request = new Request(requestUrl(options.baseUrl, endpoint, input), {
      method: endpoint.method,
      // A form names its border itself.
      headers: { accept, ...(typeof body === 'string' ? { 'content-type': 'application/json' } : {}), ...options.headers, ...call.headers },
      ...(body === null ? {} : { body }),
      ...(call.signal ? { signal: call.signal } : {}),
    });
    const response = await options.fetch(request).catch((error: unknown) => {
      throw call.signal?.aborted ? new ClientError('cancelled', 'The request was cancelled.', { cause: error }) : connectionError(options.baseUrl, error);
    });
    if (response.ok) return response;
    throw errorFromReply(await response.json().catch(() => null), response.status, response.headers.get('x-request-id'));
  }

  return {
    async call(endpoint, input, call = {}) {
      const response = await send(endpoint, input as unknown as RawInput, 'application/json', call);
      const body = await response.json().catch((error: unknown) => {
        if (call.signal?.aborted) throw new ClientError('cancelled', 'The request was cancelled.', { cause: error });
        throw new ClientError('internal_error', 'The server sent an answer that is not JSON, or only part of one.', { status: response.status, cause: error });
      });
      return parsed(endpoint.reply, body, response.status) as never;
    },

    async *stream(endpoint, input, call = {}) {
      const response = await send(endpoint, input as unknown as RawInput, 'text/event-stream', call);
      const requestId = response.headers.get('x-request-id');
      if (!response.body || !response.headers.get('content-type')?.startsWith('text/event-stream')) {
        throw new ClientError('internal_error', 'The server answered a request for a stream with something else.', { status: response.status, requestId });
      }
      try {
        for await (const data of readServerSentEvents(response.body)) {
          if (data === '[DONE]') return;
          const value: unknown = parseJson(data);
          if (typeof value === 'object' && value !== null && 'error' in value && value.error) throw errorFromReply(value, response.status, requestId);
          yield parsed(endpoint.events, value, response.status) as never;
        }
      } catch (error) {
        if (error instanceof ClientError) throw error;
        if (call.signal?.aborted) throw new ClientError('cancelled', 'The request was cancelled.', { requestId, cause: error });
        throw connectionError(options.baseUrl, error);
      }
      throw new ClientError('engine_crashed', 'The stream ended before the answer was complete.', { status: response.status, requestId });
    },
  };
}

interface RawInput {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly form?: Readonly<Record<string, unknown>>;
  readonly file?: Blob;
}

function formOf(fields: Readonly<Record<string, unknown>>, file: Blob | undefined): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) form.append(name, String(value));
  if (file !== undefined) form.append('file', file);
  return form;
}

function requestUrl(baseUrl: string, endpoint: EndpointDefinition, input: RawInput): string {
  const url = new URL(fillPath(endpoint.path, input.params), baseUrl);
  for (const [name, value] of Object.entries(input.query ?? {})) if (value !== undefined) url.searchParams.set(name, value);
  return url.href;
}

function connectionError(baseUrl: string, cause: unknown): ClientError {
  const reason = cause instanceof Error ? (cause.cause instanceof Error ? cause.cause.message : cause.message) : String(cause);
  return new ClientError('server_unreachable', `No answer from ${baseUrl}: ${reason}`, { cause });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ClientError('internal_error', 'The server sent an event that is not JSON.', { status: 200, cause: error });
  }
}

function parsed(schema: EndpointDefinition['reply'], value: unknown, status: number): unknown {
  if (!schema) return value;
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const field = result.error.issues[0]?.path.join('.') ?? '';
  throw new ClientError('internal_error', `The answer of the server does not have the expected shape${field ? ` at ${field}` : ''}.`, { status });
}
