import type { ChatMessage, ChatRequest, GenerateRequest, TextPart } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import type { Gateway, Target } from '../../gateway.ts';
import { decodeChoices, decodeSampling, decodeStop, invalid, isPresent, unsupported } from './sampling.ts';

/** A chat request as a canonical one; throws 400 naming the first field that model or engine cannot honour. */
export function decodeChat(body: ChatRequest, target: Target, requestId: string, defaults: Gateway['sampling']): GenerateRequest {
  refuseUnsupported(body, target);
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  const templateArguments = body.chat_template_kwargs;
  return {
    requestId,
    messages: decodeMessages(body.messages),
    ...(isPresent(templateArguments) ? { templateArguments } : {}),
    ...(isPresent(maxTokens) ? { maxTokens } : {}),
    stop: decodeStop(body.stop),
    sampling: decodeSampling(body, target, defaults),
    choices: decodeChoices(body.n, target),
    stopAtRoleMarks: true,
  };
}

function refuseUnsupported(body: ChatRequest, target: Target): void {
  for (const legacy of ['functions', 'function_call', 'audio'] as const) if (isPresent(body[legacy])) throw unsupported(legacy, target);
  const modalities = body['modalities'];
  if (Array.isArray(modalities) && modalities.some((modality) => modality !== 'text')) throw unsupported('modalities', target);
  // Fields of the API that no engine here honours yet: refused, so that nobody takes an answer for one that kept to them.
  if (body.tools && body.tools.length > 0) throw unsupported('tools', target);
  if (isPresent(body.tool_choice) && body.tool_choice !== 'none' && body.tool_choice !== 'auto') throw unsupported('tool_choice', target);
  if (body.response_format && body.response_format.type !== 'text') throw unsupported('response_format', target);
  if (isPresent(body.grammar)) throw unsupported('grammar', target);
  if (body.logprobs === true) throw unsupported('logprobs', target);
  if (isPresent(body.top_logprobs) && body.top_logprobs > 0) throw unsupported('top_logprobs', target);
  if (isPresent(body.adapter)) throw unsupported('adapter', target);
  if (isPresent(body.adapter_scale)) throw unsupported('adapter_scale', target);
  if (isPresent(body.reasoning_effort) && !target.capabilities.reasoning) throw unsupported('reasoning_effort', target);
}

/** Messages of the wire as canonical ones; `developer` is `system`. */
export function decodeMessages(messages: ChatRequest['messages']): ChatMessage[] {
  return messages.map((message, index) => {
    const at = `messages.${index}`;
    if (message.role === 'function') throw invalid(`${at}.role`, 'The role function is no longer taken; use tool.');
    if (message.tool_calls && message.tool_calls.length > 0) {
      throw new HearthError('unsupported_parameter', 'Tool calls in the history are not supported yet.', { details: { param: `${at}.tool_calls` } });
    }
    const reasoning = message['reasoning_content'];
    if (!isPresent(message.content) && message.role !== 'assistant' && typeof reasoning !== 'string') {
      throw invalid(`${at}.content`, `The message ${index} with the role ${message.role} needs content.`);
    }
    return {
      role: message.role === 'developer' ? 'system' : message.role,
      content: decodeContent(message.content, `${at}.content`),
      ...(isPresent(message.name) ? { name: message.name } : {}),
      ...(isPresent(message.tool_call_id) ? { toolCallId: message.tool_call_id } : {}),
    };
  });
}

function decodeContent(content: ChatRequest['messages'][number]['content'], at: string): TextPart[] {
  if (!isPresent(content)) return [];
  if (typeof content === 'string') return [{ kind: 'text', text: content }];
  return content.map((part, index) => {
    if (part.type === 'text' || part.type === 'refusal') {
      const text = part.type === 'text' ? part.text : part['refusal'];
      if (typeof text !== 'string') throw invalid(`${at}.${index}.text`, 'A text part needs its text.');
      return { kind: 'text', text };
    }
    if (/^(image_url|input_image|input_audio|audio_url|video_url|file)$/.test(part.type)) {
      throw new HearthError('capability_mismatch', `The model takes text only, and part ${index} of the message is ${part.type}.`, {
        details: { param: `${at}.${index}` },
      });
    }
    throw invalid(`${at}.${index}.type`, `The part type ${part.type} is not known.`);
  });
}
