import type { ChatMessage, ContentPart, GenerateRequest } from '../../../contract/index.ts';
import { isJsonObject } from '../../../core/index.ts';
import type { Capabilities } from '../../port.ts';
import { askedSampling, base64 } from '../openai/encode.ts';
import { notTaken, unsupported } from '../refusals.ts';

export interface AnthropicEncoding {
  /** Of the upstream, for messages. */
  readonly name: string;
  readonly model: string;
  readonly stream: boolean;
  readonly capabilities: Capabilities;
  /** Where the request names none: the API demands a limit. */
  readonly maxOutputTokens: number;
}

type Wire = Record<string, unknown>;

/** The smallest budget that the API takes. */
const LEAST_BUDGET = 1_024;

/** A canonical request as the body of /v1/messages (docs/spec/serving.md §6.5). Throws 400 for what has no form there. */
export function encodeAnthropic(request: GenerateRequest, encoding: AnthropicEncoding): { readonly path: string; readonly body: Wire } {
  refuse(request, encoding);
  const messages = request.messages ?? [];
  const system = messages.filter(({ role }) => role === 'system').flatMap(({ content }) => encodeParts(content, encoding));
  const maxTokens = request.maxTokens ?? encoding.maxOutputTokens;
  const thinking = encodeThinking(request, encoding, maxTokens);
  const tools = encodeTools(request);
  return {
    path: '/v1/messages',
    body: {
      model: encoding.model,
      max_tokens: maxTokens,
      ...(system.length === 0 ? {} : { system: system.length === 1 && system[0]!['type'] === 'text' ? system[0]!['text'] : system }),
      messages: encodeTurns(
        messages.filter(({ role }) => role !== 'system'),
        encoding,
      ),
      ...(encoding.stream ? { stream: true } : {}),
      ...(request.stop.length === 0 ? {} : { stop_sequences: [...request.stop] }),
      ...encodeSampling(request, thinking['thinking'] !== undefined),
      ...thinking,
      ...tools,
      ...(request.remote?.userId === undefined ? {} : { metadata: { user_id: request.remote.userId } }),
    },
  };
}

function refuse(request: GenerateRequest, { name }: AnthropicEncoding): void {
  if (request.messages === undefined) throw unsupported('prompt', name);
  if (request.choices > 1) throw unsupported('n', name);
  if (request.logprobs !== undefined) throw unsupported('logprobs', name);
  if (request.format !== undefined) throw unsupported(request.format.kind === 'grammar' ? 'grammar' : 'response_format', name);
  if (request.adapter !== undefined) throw unsupported('adapter', name);
  const { sampling } = request;
  if (Object.keys(sampling.logitBias).length > 0) throw unsupported('logit_bias', name);
  if (sampling.presencePenalty !== 0) throw unsupported('presence_penalty', name);
  if (sampling.frequencyPenalty !== 0) throw unsupported('frequency_penalty', name);
}

/** Equal neighbours become one turn; results of tools come first in theirs. */
function encodeTurns(messages: readonly ChatMessage[], encoding: AnthropicEncoding): Wire[] {
  const turns: { role: 'user' | 'assistant'; results: Wire[]; rest: Wire[] }[] = [];
  for (const message of messages) {
    const role = message.role === 'assistant' ? 'assistant' : 'user';
    let turn = turns.at(-1);
    if (turn?.role !== role) {
      turn = { role, results: [], rest: [] };
      turns.push(turn);
    }
    if (message.role === 'tool') turn.results.push(encodeResult(message, encoding));
    else if (message.role === 'assistant') turn.rest.push(...encodeAssistant(message, encoding));
    else turn.rest.push(...encodeParts(message.content, encoding));
  }
  return turns.map(({ role, results, rest }) => {
    const only = rest.length === 1 && results.length === 0 && rest[0]!['type'] === 'text' ? rest[0]!['text'] : undefined;
    return { role, content: only ?? [...results, ...rest] };
  });
}

function encodeResult(message: ChatMessage, encoding: AnthropicEncoding): Wire {
  const parts = encodeParts(message.content, encoding);
  const only = parts.length === 1 && parts[0]!['type'] === 'text' ? parts[0]!['text'] : undefined;
  return {
    type: 'tool_result',
    tool_use_id: message.toolCallId ?? '',
    ...(parts.length === 0 ? {} : { content: only ?? parts }),
    ...(message.failed === true ? { is_error: true } : {}),
  };
}

/** Reasoning goes back only with the mark that it came with: the API checks it. */
function encodeAssistant(message: ChatMessage, encoding: AnthropicEncoding): Wire[] {
  const { reasoning, reasoningSignature: signature } = message;
  return [
    ...(reasoning === undefined || signature === undefined ? [] : [{ type: 'thinking', thinking: reasoning, signature }]),
    ...encodeParts(message.content, encoding),
    ...(message.toolCalls ?? []).map((call) => ({ type: 'tool_use', id: call.id, name: call.name, input: objectOf(call.arguments) })),
  ];
}

function objectOf(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return isJsonObject(value) ? value : { value };
  } catch {
    // A model can write what is no JSON; the API takes objects only.
    return { text: json };
  }
}

/** The API refuses empty texts. */
const encodeParts = (parts: readonly ContentPart[], encoding: AnthropicEncoding): Wire[] =>
  parts.flatMap((part) => (part.kind === 'text' && part.text === '' ? [] : [encodePart(part, encoding)]));

function encodePart(part: ContentPart, { name }: AnthropicEncoding): Wire {
  if (part.kind === 'text') return { type: 'text', text: part.text };
  if (part.kind !== 'image') throw notTaken(part.kind, name);
  const { source, mediaType = 'image/png' } = part;
  if (source.kind === 'url') return { type: 'image', source: { type: 'url', url: source.url } };
  return { type: 'image', source: { type: 'base64', media_type: mediaType, data: base64(source.bytes) } };
}

/** Beside thinking the API takes no temperature, and no other sampling than a top_p near 1. */
function encodeSampling(request: GenerateRequest, thinks: boolean): Wire {
  const asked = new Set(askedSampling(request));
  const { temperature, topP, topK } = request.sampling;
  if (thinks) return {};
  return {
    ...(asked.has('temperature') ? { temperature: Math.min(1, temperature) } : {}),
    ...(asked.has('topP') ? { top_p: topP } : {}),
    ...(asked.has('topK') && topK > 0 ? { top_k: topK } : {}),
  };
}

/** The budget has to be below the limit, and a forced call excludes it. */
function encodeThinking({ reasoning, tools }: GenerateRequest, { capabilities }: AnthropicEncoding, maxTokens: number): Wire {
  const wanted = reasoning?.budgetTokens;
  if (wanted === undefined || wanted === 0 || !capabilities.reasoning) return {};
  const forced = tools !== undefined && tools.choice !== 'auto' && tools.choice !== 'none';
  const budget = Math.min(Math.max(LEAST_BUDGET, wanted), maxTokens - 256);
  if (forced || budget < LEAST_BUDGET) return {};
  return { thinking: { type: 'enabled', budget_tokens: budget } };
}

const CHOICES = { none: 'none', auto: 'auto', required: 'any' } as const;

function encodeTools({ tools }: GenerateRequest): Wire {
  if (tools === undefined) return {};
  const { choice, parallel } = tools;
  const kind = typeof choice === 'string' ? { type: CHOICES[choice] } : { type: 'tool', name: choice.name };
  const single = parallel || choice === 'none' ? {} : { disable_parallel_tool_use: true };
  return {
    tools: tools.definitions.map((tool) => ({
      name: tool.name,
      ...(tool.description === undefined ? {} : { description: tool.description }),
      input_schema: { type: 'object', ...(tool.parameters ?? {}) },
    })),
    ...(choice === 'auto' && parallel ? {} : { tool_choice: { ...kind, ...single } }),
  };
}
