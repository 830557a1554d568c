import type { AnswerFormat, ChatRequest, GenerateRequest, ToolDefinition, ToolUse } from '../../../contract/index.ts';
import { enforceableSchema } from '../../../engines/index.ts';
import type { Target } from '../../answer.ts';
import { budgetOfEffort, EFFORTS } from '../reasoning-budget.ts';
import { invalid, isPresent, unsupported } from '../sampling.ts';
import { checkedTools } from '../tool-use.ts';

/** Fields of a chat request that say what the answer has to be. */

export function decodeTools(body: ChatRequest, target: Target): { readonly tools?: ToolUse } {
  const definitions = (body.tools ?? []).map((tool, i) => decodeTool(tool, `tools.${i}`));
  const use = { definitions, choice: decodeChoice(body.tool_choice ?? 'auto'), parallel: body.parallel_tool_calls ?? true };
  return checkedTools(use, target, 'function.name');
}

function decodeTool(tool: NonNullable<ChatRequest['tools']>[number], at: string): ToolDefinition {
  if (tool.type !== 'function') throw invalid(`${at}.type`, `Tools of the type ${tool.type.slice(0, 64)} are not taken; only functions are.`);
  const { name, description, parameters, strict } = tool.function ?? {};
  const about = { ...(isPresent(description) ? { description } : {}), ...(isPresent(parameters) ? { parameters } : {}) };
  return { name: name ?? '', ...about, strict: strict === true };
}

function decodeChoice(wanted: NonNullable<ChatRequest['tool_choice']>): ToolUse['choice'] {
  if (wanted === 'none' || wanted === 'auto' || wanted === 'required') return wanted;
  const named = typeof wanted === 'object' && wanted['type'] === 'function' ? (wanted['function'] as { name?: unknown } | undefined)?.name : undefined;
  if (typeof named !== 'string') throw invalid('tool_choice', 'tool_choice is none, auto, required, or {"type": "function", "function": {"name": …}}.');
  return { name: named };
}

export function decodeFormat(body: ChatRequest, target: Target): { readonly format?: AnswerFormat } {
  const format = responseFormat(body, target);
  if (!isPresent(body.grammar)) return format === null ? {} : { format };
  if (format !== null) throw invalid('grammar', 'An answer follows either response_format or grammar, not both.');
  if (!target.capabilities.grammar) throw unsupported('grammar', target);
  return { format: { kind: 'grammar', text: body.grammar } };
}

function responseFormat({ response_format: format }: ChatRequest, target: Target): AnswerFormat | null {
  if (!isPresent(format) || format.type === 'text') return null;
  if (!target.capabilities.jsonSchema) throw unsupported('response_format', target);
  if (format.type === 'json_object') return { kind: 'json' };
  if (format.type !== 'json_schema') throw invalid('response_format.type', 'response_format.type is text, json_object or json_schema.');
  const schema = format.json_schema?.schema;
  if (schema === undefined) throw invalid('response_format.json_schema.schema', 'json_schema needs its schema.');
  // Only what the client asks to be loose is: what could not be kept is refused otherwise.
  return { kind: 'json-schema', schema: format.json_schema?.strict === false && target.model !== undefined ? enforceableSchema(schema) : schema };
}

export function decodeLogprobs(body: ChatRequest, target: Target): { readonly logprobs?: number } {
  const top = body.top_logprobs ?? 0;
  if (body.logprobs !== true) {
    if (top > 0) throw invalid('top_logprobs', 'top_logprobs needs logprobs to be true.');
    return {};
  }
  if (target.capabilities.maxLogprobs === 0) throw unsupported('logprobs', target);
  if (top > target.capabilities.maxLogprobs) throw unsupported('top_logprobs', target);
  return { logprobs: top };
}

export function decodeReasoning(body: ChatRequest, target: Target): Pick<GenerateRequest, 'templateArguments' | 'reasoning'> {
  const given = body.chat_template_kwargs ?? undefined;
  const effort = body.reasoning_effort;
  if (!isPresent(effort)) return given === undefined ? {} : { templateArguments: given };
  const budgetTokens = budgetOfEffort(effort);
  if (budgetTokens === undefined) throw invalid('reasoning_effort', `reasoning_effort is one of ${EFFORTS.join(', ')}.`);
  // A model that does not reason keeps to "none" by itself.
  if (budgetTokens > 0 && !target.capabilities.reasoning) throw unsupported('reasoning_effort', target);
  return { templateArguments: { reasoning_effort: effort, ...given }, reasoning: { budgetTokens } };
}
