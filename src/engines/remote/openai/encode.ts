import type { ChatMessage, ContentPart, GenerateRequest, MediaPart, SamplingOptions } from '../../../contract/index.ts';
import type { Capabilities } from '../../port.ts';
import type { WireDialect } from '../dialects.ts';
import { unsupported } from '../refusals.ts';

export interface OpenAiEncoding {
  /** Of the upstream, for messages. */
  readonly name: string;
  readonly model: string;
  readonly stream: boolean;
  readonly dialect: WireDialect;
  readonly capabilities: Capabilities;
  /** Another hearth: it knows our extensions. */
  readonly peer: boolean;
}

type Wire = Record<string, unknown>;

/** A canonical request as the body of /v1/chat/completions, or of /v1/completions for a prompt without messages. Throws 400 for what has no form there. */
export function encodeOpenAi(request: GenerateRequest, encoding: OpenAiEncoding): { readonly path: string; readonly body: Wire } {
  const { dialect, model, stream } = encoding;
  const shared: Wire = {
    model,
    ...(stream ? { stream: true, ...(dialect.ignores.has('stream_options') ? {} : { stream_options: { include_usage: true } }) } : {}),
    ...(request.stop.length > 0 ? { stop: [...request.stop] } : {}),
    ...(request.choices > 1 ? { n: request.choices } : {}),
    ...encodeSampling(request),
    ...encodeExtensions(request, encoding),
    ...(request.remote?.userId === undefined ? {} : { user: request.remote.userId }),
  };
  if (request.choices > 1 && dialect.ignores.has('n')) throw unsupported('n', encoding.name);
  const limit = request.maxTokens;
  if (request.messages === undefined) {
    const prompt = request.prompt ?? [...(request.tokens ?? [])];
    const logprobs = request.logprobs === undefined ? {} : { logprobs: request.logprobs };
    return { path: '/v1/completions', body: { ...shared, prompt, ...logprobs, ...(limit === undefined ? {} : { max_tokens: limit }) } };
  }
  const body: Wire = {
    ...shared,
    messages: encodeMessages(request.messages),
    ...(limit === undefined ? {} : { [dialect.limitField]: limit }),
    ...encodeTools(request, encoding),
    ...encodeFormat(request, encoding),
    ...encodeReasoning(request, encoding),
    ...(request.logprobs === undefined ? {} : { logprobs: true, top_logprobs: request.logprobs }),
  };
  return { path: '/v1/chat/completions', body };
}

/** Neighbouring tool messages keep their order; their media follow in a message of the user, since the tool role takes text only. */
export function encodeMessages(messages: readonly ChatMessage[]): Wire[] {
  const out: Wire[] = [];
  let media: Wire[] = [];
  const flush = () => {
    if (media.length > 0) out.push({ role: 'user', content: media });
    media = [];
  };
  for (const message of messages) {
    if (message.role !== 'tool') flush();
    out.push(encodeMessage(message));
    if (message.role !== 'tool') continue;
    const parts = message.content.filter((part): part is MediaPart => part.kind !== 'text');
    if (parts.length > 0) media.push({ type: 'text', text: `Result of the tool call ${message.toolCallId ?? ''}:` }, ...parts.map(encodeMedia));
  }
  flush();
  return out;
}

function encodeMessage(message: ChatMessage): Wire {
  const name = message.name === undefined ? {} : { name: message.name };
  if (message.role === 'tool') {
    const text = plainText(message.content);
    const content = message.failed === true && !/^error\b/i.test(text) ? `Error: ${text}` : text;
    return { role: 'tool', ...(message.toolCallId === undefined ? {} : { tool_call_id: message.toolCallId }), content };
  }
  const calls = message.toolCalls ?? [];
  const hasMedia = message.content.some(({ kind }) => kind !== 'text');
  const text = plainText(message.content);
  return {
    role: message.role,
    content: hasMedia ? message.content.map(encodePart) : text === '' && calls.length > 0 ? null : text,
    ...name,
    ...(message.reasoning === undefined ? {} : { reasoning_content: message.reasoning }),
    ...(calls.length === 0
      ? {}
      : { tool_calls: calls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } })) }),
  };
}

const plainText = (parts: readonly ContentPart[]): string => parts.map((part) => (part.kind === 'text' ? part.text : '')).join('');

const encodePart = (part: ContentPart): Wire => (part.kind === 'text' ? { type: 'text', text: part.text } : encodeMedia(part));

function encodeMedia(part: MediaPart): Wire {
  if (part.kind === 'audio' && part.source.kind === 'bytes') {
    const format = /mpeg|mp3/.test(part.mediaType ?? '') ? 'mp3' : 'wav';
    return { type: 'input_audio', input_audio: { data: base64(part.source.bytes), format } };
  }
  const url = part.source.kind === 'url' ? part.source.url : `data:${part.mediaType ?? 'application/octet-stream'};base64,${base64(part.source.bytes)}`;
  return { type: `${part.kind}_url`, [`${part.kind}_url`]: { url } };
}

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');

/** Names on the wire; the last row is what `asked` leaves out by itself. */
const WIRE_NAMES: Readonly<Partial<Record<keyof SamplingOptions, string>>> = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
  repetitionPenalty: 'repetition_penalty',
  repetitionContextSize: 'repetition_context_size',
  xtcProbability: 'xtc_probability',
  xtcThreshold: 'xtc_threshold',
  seed: 'seed',
  logitBias: 'logit_bias',
};

/** What the client asked for; where nobody said what that was, what is in force. */
export function askedSampling({ sampling, remote }: GenerateRequest): readonly (keyof SamplingOptions)[] {
  if (remote !== undefined) return remote.asked;
  const off: Partial<Record<keyof SamplingOptions, unknown>> = {
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    xtcProbability: 0,
  };
  return (Object.keys(WIRE_NAMES) as (keyof SamplingOptions)[]).filter((key) => {
    if (key === 'logitBias') return Object.keys(sampling.logitBias).length > 0;
    if (key === 'repetitionContextSize') return sampling.repetitionPenalty !== 1;
    if (key === 'xtcThreshold') return sampling.xtcProbability > 0;
    return sampling[key] !== undefined && sampling[key] !== off[key];
  });
}

const encodeSampling = (request: GenerateRequest): Wire =>
  Object.fromEntries(askedSampling(request).flatMap((key) => (WIRE_NAMES[key] === undefined ? [] : [[WIRE_NAMES[key], request.sampling[key]]])));

function encodeExtensions(request: GenerateRequest, { peer, name }: OpenAiEncoding): Wire {
  const { adapter } = request;
  if (adapter !== undefined && !peer) throw unsupported('adapter', name);
  const { reasoning_effort: _, ...variables } = request.templateArguments ?? {};
  return {
    ...(adapter === undefined ? {} : { adapter: adapter.name, adapter_scale: adapter.scale }),
    ...(Object.keys(variables).length === 0 ? {} : { chat_template_kwargs: variables }),
  };
}

function encodeTools({ tools }: GenerateRequest, { dialect, name }: OpenAiEncoding): Wire {
  if (tools === undefined) return {};
  const { choice } = tools;
  const forced = choice !== 'auto' && choice !== 'none';
  if (forced && dialect.ignores.has('tool_choice')) throw unsupported('tool_choice', name);
  return {
    tools: tools.definitions.map((tool) => ({
      type: 'function',
      function: {
        name: tool.name,
        ...(tool.description === undefined ? {} : { description: tool.description }),
        ...(tool.parameters === undefined ? {} : { parameters: tool.parameters }),
      },
    })),
    ...(choice === 'auto' ? {} : { tool_choice: typeof choice === 'string' ? choice : { type: 'function', function: { name: choice.name } } }),
    ...(tools.parallel ? {} : { parallel_tool_calls: false }),
  };
}

function encodeFormat({ format }: GenerateRequest, { dialect, name, peer }: OpenAiEncoding): Wire {
  if (format === undefined) return {};
  if (format.kind === 'grammar') {
    if (!peer) throw unsupported('grammar', name);
    return { grammar: format.text };
  }
  if (dialect.ignores.has('response_format')) throw unsupported('response_format', name);
  if (format.kind === 'json') return { response_format: { type: 'json_object' } };
  return { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: format.schema, strict: true } } };
}

/** Efforts by the budgets that docs/spec/serving.md §3.4 gives them. */
const EFFORTS: readonly (readonly [budget: number, effort: string])[] = [
  [0, 'none'],
  [512, 'minimal'],
  [1_024, 'low'],
  [4_096, 'medium'],
];

function encodeReasoning({ reasoning, remote }: GenerateRequest, { capabilities }: OpenAiEncoding): Wire {
  if (!capabilities.reasoning) return {};
  const budget = reasoning?.budgetTokens;
  const effort = remote?.effort ?? (budget === undefined ? undefined : (EFFORTS.find(([most]) => budget <= most)?.[1] ?? 'high'));
  return effort === undefined ? {} : { reasoning_effort: effort };
}
