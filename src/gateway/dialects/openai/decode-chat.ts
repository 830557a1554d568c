import type { ChatMessage, ChatRequest, ContentPart, GenerateRequest, ToolCall } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { checkAnswerWishes } from '../../../engines/index.ts';
import type { Target } from '../../answer.ts';
import type { Gateway } from '../../gateway.ts';
import { createMediaReader, type FetchedMedia, type MediaReader } from '../../media/media-reader.ts';
import { askedSampling, decodeChoices, decodeSampling, decodeStop, invalid, isPresent, unsupported } from '../sampling.ts';
import { decodeAdapter } from './adapter.ts';
import { decodeFormat, decodeLogprobs, decodeReasoning, decodeTools } from './structure.ts';

/** A chat request as a canonical one; throws 400 naming the first field that model or engine cannot honour. */
export function decodeChat(body: ChatRequest, target: Target, requestId: string, defaults: Gateway['sampling'], fetched?: FetchedMedia): GenerateRequest {
  refuseUnsupported(body, target);
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  const { templateArguments, reasoning } = decodeReasoning(body, target);
  const wishes = { ...decodeTools(body, target), ...decodeFormat(body, target) };
  // Refused here, before anything is loaded.
  checkAnswerWishes(wishes);
  return {
    requestId,
    messages: decodeMessages(body.messages, createMediaReader(target, fetched === undefined ? {} : { fetched })),
    ...(templateArguments === undefined ? {} : { templateArguments }),
    ...(reasoning === undefined ? {} : { reasoning }),
    ...wishes,
    ...decodeLogprobs(body, target),
    ...decodeAdapter(body, target),
    ...(isPresent(maxTokens) ? { maxTokens } : {}),
    stop: decodeStop(body.stop),
    sampling: decodeSampling(body, target, defaults),
    choices: decodeChoices(body.n, target),
    stopAtRoleMarks: true,
    remote: {
      asked: askedSampling(body),
      ...(typeof body['user'] === 'string' ? { userId: body['user'] } : {}),
      ...(isPresent(body.reasoning_effort) ? { effort: body.reasoning_effort } : {}),
    },
  };
}

function refuseUnsupported(body: ChatRequest, target: Target): void {
  for (const legacy of ['functions', 'function_call', 'audio'] as const) if (isPresent(body[legacy])) throw unsupported(legacy, target);
  const modalities = body['modalities'];
  if (Array.isArray(modalities) && modalities.some((modality) => modality !== 'text')) throw unsupported('modalities', target);
}

/** Messages of the wire as canonical ones; `developer` is `system`. Without a reader only text is taken. */
export function decodeMessages(messages: ChatRequest['messages'], media?: MediaReader): ChatMessage[] {
  return messages.map((message, index) => {
    const at = `messages.${index}`;
    if (message.role === 'function') throw invalid(`${at}.role`, 'The role function is no longer taken; use tool.');
    const toolCalls = (message.tool_calls ?? []).map((call, i) => decodeToolCall(call, `${at}.tool_calls.${i}`));
    const reasoning = message['reasoning_content'];
    if (!isPresent(message.content) && message.role !== 'assistant' && typeof reasoning !== 'string') {
      throw invalid(`${at}.content`, `The message ${index} with the role ${message.role} needs content.`);
    }
    return {
      role: message.role === 'developer' ? 'system' : message.role,
      content: decodeContent(message.content, `${at}.content`, media),
      ...(isPresent(message.name) ? { name: message.name } : {}),
      ...(isPresent(message.tool_call_id) ? { toolCallId: message.tool_call_id } : {}),
      ...(toolCalls.length === 0 ? {} : { toolCalls }),
      ...(typeof reasoning === 'string' && reasoning !== '' ? { reasoning } : {}),
    };
  });
}

/** A text of a part, such as `image_url.url`. */
function textAt(part: Readonly<Record<string, unknown>>, outer: string, inner: string, at: string): string {
  const text = (part[outer] as Readonly<Record<string, unknown>> | null | undefined)?.[inner];
  if (typeof text !== 'string') throw invalid(`${at}.${outer}.${inner}`, `The part needs its ${outer}.${inner}.`);
  return text;
}

/** A call that the model made earlier; arguments are a JSON text, or already an object. */
function decodeToolCall(call: Readonly<Record<string, unknown>>, at: string): ToolCall {
  const { name, arguments: given } = (call['function'] ?? {}) as { name?: unknown; arguments?: unknown };
  if (typeof name !== 'string' || name === '') throw invalid(`${at}.function.name`, 'A tool call needs the name of its function.');
  const json = typeof given === 'string' ? given : JSON.stringify(given ?? {});
  return { id: typeof call['id'] === 'string' ? call['id'] : '', name, arguments: json === '' ? '{}' : json };
}

function decodeContent(content: ChatRequest['messages'][number]['content'], at: string, media: MediaReader | undefined): ContentPart[] {
  if (!isPresent(content)) return [];
  if (typeof content === 'string') return [{ kind: 'text', text: content }];
  return content.map((part, index) => {
    if (part.type === 'text' || part.type === 'refusal') {
      const text = part.type === 'text' ? part.text : part['refusal'];
      if (typeof text !== 'string') throw invalid(`${at}.${index}.text`, 'A text part needs its text.');
      return { kind: 'text', text };
    }
    if (media !== undefined && part.type === 'image_url') return media.image(textAt(part, 'image_url', 'url', `${at}.${index}`), `${at}.${index}`);
    if (media !== undefined && part.type === 'input_audio') {
      const data = textAt(part, 'input_audio', 'data', `${at}.${index}`);
      return media.audio(data, textAt(part, 'input_audio', 'format', `${at}.${index}`), `${at}.${index}`);
    }
    if (/^(image_url|input_image|input_audio|audio_url|video_url|file)$/.test(part.type)) {
      throw new HearthError('capability_mismatch', `The model takes text only, and part ${index} of the message is ${part.type}.`, {
        details: { param: `${at}.${index}` },
      });
    }
    throw invalid(`${at}.${index}.type`, `The part type ${part.type} is not known.`);
  });
}
