import type { ChatMessage, ChatRequest, GenerateRequest, ResponseRequest, ResponseTokensRequest } from '../../../contract/index.ts';
import { HearthError, isHearthError } from '../../../core/index.ts';
import type { Target } from '../../answer.ts';
import type { Gateway } from '../../gateway.ts';
import { decodeChat } from '../openai/decode-chat.ts';
import { invalid, isPresent, unsupported } from '../sampling.ts';
import { decodeInput, type InputContext } from './decode-input.ts';

export interface ResponseContext extends InputContext {
  /** What was said before, without its instructions. */
  readonly earlier: readonly ChatMessage[];
}

export interface DecodedResponse {
  readonly request: GenerateRequest;
  /** What `previous_response_id` goes on from, together with the answer: all messages but the instructions. */
  readonly conversation: readonly ChatMessage[];
}

/** A request of the Responses API as a canonical one; throws 400 naming the first field that model or engine cannot honour. */
export function decodeResponse(
  body: ResponseRequest,
  target: Target,
  requestId: string,
  defaults: Gateway['sampling'],
  context: ResponseContext,
): DecodedResponse {
  refuseUnsupported(body, target);
  const { choice, allowed } = toolChoice(body);
  const offered = responseTools(body).kept.filter(({ tool }) => allowed === null || allowed.has(tool.name ?? ''));
  const chat = withOwnNames(offered, () => decodeChat(asChat(body, offered, choice), target, requestId, defaults));
  const conversation = [...context.earlier, ...decodeInput(body.input, context)];
  const instructions: ChatMessage[] = isPresent(body.instructions) ? [{ role: 'system', content: [{ kind: 'text', text: body.instructions }] }] : [];
  return { request: { ...chat, messages: [...instructions, ...conversation] }, conversation };
}

function refuseUnsupported(body: ResponseRequest | ResponseTokensRequest, target: Target): void {
  if (body['background'] === true) throw unsupported('background', target);
  for (const field of ['conversation', 'prompt']) if (isPresent(body[field])) throw unsupported(field, target);
  const { truncation } = body;
  if (truncation === 'auto') throw unsupported('truncation', target);
  if (isPresent(truncation) && truncation !== 'disabled') throw invalid('truncation', 'truncation is disabled; nothing is cut from a conversation.');
}

type WireTool = NonNullable<ResponseRequest['tools']>[number];

/** A function with its place in the request. */
interface KeptTool {
  readonly index: number;
  readonly tool: WireTool;
}

/** Functions are kept; tools that a provider runs itself are dropped, and named in `x-hearth-dropped`. */
export function responseTools(body: Pick<ResponseTokensRequest, 'tools'>): { readonly kept: readonly KeptTool[]; readonly dropped: readonly string[] } {
  const all = (body.tools ?? []).map((tool, index) => ({ index, tool }));
  return {
    kept: all.filter(({ tool }) => tool.type === 'function'),
    dropped: [...new Set(all.filter(({ tool }) => tool.type !== 'function').map(({ tool }) => tool.type))],
  };
}

/** The fields that both APIs have, under the names of the chat API. */
function asChat(body: ResponseRequest, offered: readonly KeptTool[], choice: ChatRequest['tool_choice']): ChatRequest {
  const { format } = body.text ?? {};
  const withLogprobs = (body.include ?? []).includes('message.output_text.logprobs') || (body.top_logprobs ?? 0) > 0;
  return {
    ...body,
    stream_options: undefined,
    messages: [],
    max_tokens: body.max_output_tokens,
    // Strict unless said otherwise: the default of this API.
    tools: offered.map(({ tool: { name, description, parameters, strict } }) => ({
      type: 'function',
      function: { name: name ?? '', description, parameters, strict: strict !== false },
    })),
    tool_choice: choice,
    response_format: isPresent(format)
      ? { type: format.type, ...(isPresent(format.schema) ? { json_schema: { schema: format.schema, strict: format.strict } } : {}) }
      : undefined,
    reasoning_effort: body.reasoning?.effort,
    logprobs: withLogprobs,
    top_logprobs: body.top_logprobs,
  };
}

/** `allowed`: names that may be called; null = all. */
function toolChoice({ tool_choice: wanted }: ResponseTokensRequest): {
  readonly choice: ChatRequest['tool_choice'];
  readonly allowed: ReadonlySet<string> | null;
} {
  if (!isPresent(wanted) || typeof wanted === 'string') return { choice: wanted, allowed: null };
  if (wanted.type === 'function' && typeof wanted['name'] === 'string')
    return { choice: { type: 'function', function: { name: wanted['name'] } }, allowed: null };
  if (wanted.type === 'allowed_tools' && Array.isArray(wanted['tools'])) {
    const names = wanted['tools'].map((tool: { name?: unknown }) => (typeof tool?.name === 'string' ? tool.name : ''));
    return { choice: wanted['mode'] === 'required' ? 'required' : 'auto', allowed: new Set(names) };
  }
  throw invalid('tool_choice', 'tool_choice is none, auto, required, or {"type": "function", "name": …}; tools that a provider runs cannot be forced.');
}

const NAMES: Readonly<Record<string, string>> = {
  response_format: 'text.format',
  'response_format.type': 'text.format.type',
  'response_format.json_schema.schema': 'text.format.schema',
  reasoning_effort: 'reasoning.effort',
};

/** Errors name the fields as this API has them. */
function withOwnNames<T>(offered: readonly KeptTool[], decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    const param = isHearthError(error) ? error.details['param'] : undefined;
    if (!isHearthError(error) || typeof param !== 'string') throw error;
    const [, place, field] = /^tools\.(\d+)(?:\.function)?(\..+)?$/.exec(param) ?? [];
    const own = place === undefined ? (NAMES[param] ?? param) : `tools.${offered[Number(place)]?.index ?? place}${field ?? ''}`;
    throw new HearthError(error.code, error.message, { cause: error, details: { ...error.details, param: own } });
  }
}
