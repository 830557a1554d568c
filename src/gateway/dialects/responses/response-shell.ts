import type { GenerateRequest, ResponseRequest } from '../../../contract/index.ts';
import { responseTools } from './decode-response.ts';
import type { ResponseShell } from './encode-response.ts';

/** The fields of a response that repeat its request, with the values that were in force. */
export function responseShell(body: ResponseRequest, { sampling }: GenerateRequest): ResponseShell {
  const { format, verbosity } = body.text ?? {};
  return {
    previous_response_id: body.previous_response_id ?? null,
    instructions: body.instructions ?? null,
    tools: responseTools(body).kept.map(({ tool }) => ({
      type: 'function',
      name: tool.name ?? '',
      description: tool.description ?? null,
      parameters: tool.parameters ?? null,
      strict: tool.strict ?? null,
    })),
    tool_choice: body.tool_choice ?? 'auto',
    truncation: 'disabled',
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    text: { format: shownFormat(format), verbosity: verbosity ?? 'medium' },
    top_p: sampling.topP,
    presence_penalty: sampling.presencePenalty,
    frequency_penalty: sampling.frequencyPenalty,
    top_logprobs: body.top_logprobs ?? 0,
    temperature: sampling.temperature,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: body.reasoning?.summary ?? null },
    // The published schema has no null here.
    ...(typeof body.user === 'string' ? { user: body.user } : {}),
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    store: body.store ?? true,
    background: false,
    service_tier: 'default',
    metadata: body.metadata ?? {},
    safety_identifier: body.safety_identifier ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
  };
}

function shownFormat(format: NonNullable<ResponseRequest['text']>['format']): ResponseShell['text']['format'] {
  if (format === null || format === undefined) return { type: 'text' };
  if (format.type !== 'json_schema') return { type: format.type };
  const { description } = format as { description?: unknown };
  return {
    type: 'json_schema',
    name: format.name ?? 'answer',
    ...(typeof description === 'string' ? { description } : {}),
    schema: format.schema ?? {},
    strict: format.strict ?? null,
  };
}
