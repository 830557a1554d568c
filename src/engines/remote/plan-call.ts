import type { ChatMessage, GenerateRequest } from '../../contract/index.ts';
import { createAnthropicDecoder } from './anthropic/decode.ts';
import { encodeAnthropic } from './anthropic/encode.ts';
import type { UpstreamCall, WireApi, WireRequest } from './call.ts';
import { capabilitiesOf } from './capabilities.ts';
import type { AnswerDecoder } from './decoded.ts';
import type { WireDialect } from './dialects.ts';
import type { Faults } from './faults.ts';
import { createOpenAiDecoder } from './openai/decode.ts';
import { encodeOpenAi } from './openai/encode.ts';
import { unsupported } from './refusals.ts';
import { DEFAULT_OUTPUT_TOKENS, type RemoteModel, type RemoteOptions } from './remote-options.ts';
import { createResponsesDecoder } from './responses/decode.ts';
import { spliceModel } from './splice-model.ts';

/** What goes to the upstream, and how its answer is read. */
export interface CallPlan {
  readonly path: string;
  readonly body: Uint8Array;
  /** Its answer goes on as bytes. */
  readonly passthrough: boolean;
  readonly forAnthropic: boolean;
  /** null: one JSON value without events, such as vectors. */
  readonly decoder: AnswerDecoder | null;
  /** The value of a JSON answer in its own form, where the upstream's form departs from it. */
  readonly repair?: (value: unknown) => unknown;
}

const PATHS: Readonly<Partial<Record<WireApi, string>>> = {
  'openai-chat': '/v1/chat/completions',
  'openai-completions': '/v1/completions',
  'openai-responses': '/v1/responses',
  'anthropic-messages': '/v1/messages',
  'anthropic-count-tokens': '/v1/messages/count_tokens',
  'openai-embeddings': '/v1/embeddings',
  rerank: '/v1/rerank',
};

/** Whether a request of this API can go to the upstream as it is. */
export function speaks({ kind, passthroughPaths = [] }: RemoteOptions, dialect: WireDialect, api: WireApi, path: string): boolean {
  if (passthroughPaths.includes(path) || passthroughPaths.includes(PATHS[api] ?? path)) return true;
  if (api === 'other' || (api === 'tokens' && kind !== 'peer')) return false;
  if (kind === 'anthropic') return dialect.passthrough && (api === 'anthropic-messages' || api === 'anthropic-count-tokens');
  if (api === 'openai-embeddings' || api === 'rerank') return true;
  if (kind === 'peer') return true;
  return dialect.passthrough && (api === 'openai-chat' || api === 'openai-completions');
}

/** Throws 400 for what has no form at the upstream. */
export function planCall(options: RemoteOptions, dialect: WireDialect, model: RemoteModel, call: UpstreamCall, faults: Faults): CallPlan {
  const { raw, request } = call;
  if (raw !== undefined && speaks(options, dialect, raw.api, raw.path)) return planRaw(raw, dialect, model, call, faults);
  if (request === undefined) throw unsupported(raw?.path ?? 'the request', options.name);
  return planRequest(options, dialect, model, { ...call, request }, faults);
}

function planRaw(raw: WireRequest, dialect: WireDialect, model: RemoteModel, { stream }: UpstreamCall, faults: Faults): CallPlan {
  const { api, bytes, body } = raw;
  const n = typeof body['n'] === 'number' ? body['n'] : 1;
  const prompts = Array.isArray(body['prompt']) && typeof body['prompt'][0] !== 'number' ? body['prompt'].length : 1;
  const stop = typeof body['stop'] === 'string' ? [body['stop']] : Array.isArray(body['stop']) ? (body['stop'] as string[]) : [];
  const shared = { promptChars: bytes.byteLength, stop, dialect, faults };
  return {
    path: PATHS[api] ?? raw.path,
    body: body['model'] === model.ownName ? bytes : spliceModel(bytes, model.ownName),
    passthrough: true,
    forAnthropic: api === 'anthropic-messages' || api === 'anthropic-count-tokens',
    decoder: decoderOf(),
    ...(dialect.noBase64 && api === 'openai-embeddings' && body['encoding_format'] === 'base64' ? { repair: vectorsAsBase64 } : {}),
  };

  function decoderOf(): AnswerDecoder | null {
    if (api === 'openai-chat') return createOpenAiDecoder({ ...shared, api: 'chat', choices: n });
    if (api === 'openai-completions') return createOpenAiDecoder({ ...shared, api: 'completions', choices: n * prompts });
    if (api === 'openai-responses') return createResponsesDecoder({ promptChars: bytes.byteLength, faults });
    if (api === 'anthropic-messages') return createAnthropicDecoder({ promptChars: bytes.byteLength, faults });
    if (stream) throw unsupported('stream', model.name);
    return null;
  }
}

function planRequest(
  options: RemoteOptions,
  dialect: WireDialect,
  model: RemoteModel,
  call: UpstreamCall & { readonly request: GenerateRequest },
  faults: Faults,
): CallPlan {
  const { request, stream } = call;
  const capabilities = capabilitiesOf(model.capabilities, model.contextTokens, dialect);
  const shared = { name: options.name, model: model.ownName, stream, capabilities };
  const promptChars = charsOf(request);
  if (options.kind === 'anthropic') {
    const { path, body } = encodeAnthropic(request, { ...shared, maxOutputTokens: model.maxOutputTokens ?? DEFAULT_OUTPUT_TOKENS });
    return { path, body: bytesOf(body), passthrough: false, forAnthropic: true, decoder: createAnthropicDecoder({ promptChars, faults }) };
  }
  const { path, body } = encodeOpenAi(request, { ...shared, dialect, peer: options.kind === 'peer' });
  const decoder = createOpenAiDecoder({
    api: request.messages === undefined ? 'completions' : 'chat',
    choices: request.choices,
    promptChars,
    stop: request.stop,
    dialect,
    faults,
  });
  return { path, body: bytesOf(body), passthrough: false, forAnthropic: false, decoder };
}

const bytesOf = (body: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(body));

function charsOf({ messages = [], prompt = '', tokens = [] }: GenerateRequest): number {
  const of = (message: ChatMessage) => message.content.reduce((sum, part) => sum + (part.kind === 'text' ? part.text.length : 0), 0);
  return messages.reduce((sum, message) => sum + of(message), prompt.length + 4 * tokens.length);
}

/** Vectors as base64 of little-endian float32, for servers that know numbers only. */
function vectorsAsBase64(value: unknown): unknown {
  const { data } = value as { data?: { embedding?: unknown }[] };
  if (!Array.isArray(data)) return value;
  const encode = (vector: number[]) => {
    const bytes = Buffer.alloc(4 * vector.length);
    for (const [i, number] of vector.entries()) bytes.writeFloatLE(number, 4 * i);
    return bytes.toString('base64');
  };
  return { ...(value as object), data: data.map((row) => (Array.isArray(row.embedding) ? { ...row, embedding: encode(row.embedding as number[]) } : row)) };
}
