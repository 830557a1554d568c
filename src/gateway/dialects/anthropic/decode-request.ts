import {
  type AnswerFormat,
  anthropicTool,
  type CountTokensRequest,
  type GenerateRequest,
  type MessagesRequest,
  type ToolDefinition,
  type ToolUse,
} from '../../../contract/index.ts';
import { HearthError, isHearthError } from '../../../core/index.ts';
import { checkAnswerWishes } from '../../../engines/index.ts';
import type { Target } from '../../answer.ts';
import type { Gateway } from '../../gateway.ts';
import type { FetchedMedia } from '../../media/media-reader.ts';
import { budgetOfEffort } from '../reasoning-budget.ts';
import { askedSampling, decodeSampling, invalid, isPresent, unsupported } from '../sampling.ts';
import { checkedTools } from '../tool-use.ts';
import { decodeConversation } from './decode-conversation.ts';

type Prompt = Pick<GenerateRequest, 'messages' | 'tools' | 'format' | 'reasoning' | 'templateArguments'> & { readonly messages: object };

/** A request to /v1/messages as a canonical one; throws 400 naming the first field that model or engine cannot honour. */
export function decodeMessagesRequest(
  body: MessagesRequest,
  target: Target,
  requestId: string,
  defaults: Gateway['sampling'],
  fetched?: FetchedMedia,
): GenerateRequest {
  const { temperature, top_p, top_k, seed } = body;
  const effort = body.output_config?.effort;
  const userId = body.metadata?.user_id;
  return {
    requestId,
    ...decodePrompt(body, target, fetched),
    maxTokens: body.max_tokens,
    stop: decodeStops(body.stop_sequences ?? []),
    sampling: decodeSampling({ temperature, top_p, top_k, seed }, target, defaults),
    choices: 1,
    stopAtRoleMarks: true,
    remote: {
      asked: askedSampling({ temperature, top_p, top_k, seed }),
      ...(isPresent(userId) ? { userId } : {}),
      ...(isPresent(effort) ? { effort } : {}),
    },
  };
}

/** All that the prompt is rendered from: counting and answering see the same. */
export function decodePrompt(body: CountTokensRequest, target: Target, fetched?: FetchedMedia): Prompt {
  const wishes = { ...decodeTools(body, target), ...decodeFormat(body, target) };
  checkWishes(wishes);
  return { messages: decodeConversation(body, target, fetched), ...wishes, ...decodeThinking(body, target) };
}

function decodeStops(stops: readonly string[]): readonly string[] {
  const empty = stops.indexOf('');
  if (empty >= 0) throw invalid(`stop_sequences.${empty}`, 'A stop sequence may not be empty.');
  return stops;
}

/** Tools that the client runs have a schema; those of Anthropic's servers, or with a form that only its models know, are not taken. */
const isOwn = ({ type }: NonNullable<CountTokensRequest['tools']>[number]): boolean => !isPresent(type) || type === 'custom';

/** Names of the tools that are left out (docs/spec/serving.md §1.2): they go into the header `x-hearth-dropped`. */
export const droppedTools = ({ tools }: Pick<CountTokensRequest, 'tools'>): readonly string[] =>
  (tools ?? []).filter((tool) => !isOwn(tool)).map(({ type }) => `tools.${type}`);

/** Tools that the client defines on the way, in system turns. */
const addedTools = ({ messages }: CountTokensRequest): NonNullable<CountTokensRequest['tools']> =>
  messages.flatMap(({ role, content }) =>
    role !== 'system' || typeof content === 'string'
      ? []
      : content.flatMap((block) => {
          const added =
            block.type === 'tool_addition' ? anthropicTool.safeParse((block['tool'] as { definition?: unknown } | null | undefined)?.definition) : null;
          return added?.success ? [added.data] : [];
        }),
  );

function decodeTools(body: CountTokensRequest, target: Target): { readonly tools?: ToolUse } {
  const definitions = [...(body.tools ?? []), ...addedTools(body)].flatMap((tool, i): ToolDefinition[] => {
    if (!isOwn(tool)) return [];
    const { name, description, input_schema: parameters, strict } = tool;
    if (!isPresent(name)) throw invalid(`tools.${i}.name`, `tools.${i}.name is needed.`);
    if (!isPresent(parameters)) throw invalid(`tools.${i}.input_schema`, `tools.${i}.input_schema is needed: the JSON Schema of what the tool takes.`);
    return [{ name, ...(isPresent(description) ? { description } : {}), parameters, strict: strict === true }];
  });
  const parallel = body.tool_choice?.disable_parallel_tool_use !== true;
  return checkedTools({ definitions, choice: decodeChoice(body.tool_choice), parallel }, target, 'name');
}

function decodeChoice(wanted: CountTokensRequest['tool_choice']): ToolUse['choice'] {
  switch (wanted?.type) {
    case 'any':
      return 'required';
    case 'none':
      return 'none';
    case 'tool':
      if (!isPresent(wanted.name)) throw invalid('tool_choice.name', 'tool_choice.name is needed: it says which tool has to be called.');
      return { name: wanted.name };
    default:
      return 'auto';
  }
}

function decodeFormat(body: CountTokensRequest, target: Target): { readonly format?: AnswerFormat } {
  const format = body.output_config?.format;
  if (!isPresent(format)) return {};
  if (format.type !== 'json_schema') throw invalid('output_config.format.type', 'output_config.format.type is json_schema.');
  if (!isPresent(format.schema)) throw invalid('output_config.format.schema', 'output_config.format.schema is needed.');
  if (!target.capabilities.jsonSchema) throw unsupported('output_config.format', target);
  return { format: { kind: 'json-schema', schema: format.schema } };
}

/** Refused here, before anything is loaded, by the names that the fields have in this API. */
function checkWishes(wishes: { readonly tools?: ToolUse; readonly format?: AnswerFormat }): void {
  try {
    checkAnswerWishes(wishes);
  } catch (error) {
    if (!isHearthError(error) || error.details['param'] !== 'response_format') throw error;
    throw new HearthError(error.code, error.message, { cause: error, details: { ...error.details, param: 'output_config.format' } });
  }
}

/** Efforts by which templates that know some are told one. */
const TEMPLATE_EFFORT: Readonly<Record<string, string>> = { low: 'low', medium: 'medium', high: 'high', xhigh: 'high', max: 'high' };

/**
 * Thinking is what the client asks for: without the field there is none (a remote has its own default). A budget is a bound, so that a model which
 * does not reason keeps to any. `adaptive` leaves the amount to the effort.
 */
function decodeThinking(body: CountTokensRequest, target: Target): Pick<GenerateRequest, 'reasoning' | 'templateArguments'> {
  const { thinking } = body;
  const effort = body.output_config?.effort ?? undefined;
  const effortTokens = effort === undefined ? undefined : budgetOfEffort(effort);
  if (effort !== undefined && effortTokens === undefined) throw invalid('output_config.effort', 'output_config.effort is low, medium, high, xhigh or max.');
  const word = effort === undefined ? undefined : TEMPLATE_EFFORT[effort];
  const templateArguments = word === undefined ? {} : { templateArguments: { reasoning_effort: word } };
  const local = target.model !== undefined;
  switch (thinking?.type) {
    case undefined:
      return local ? { reasoning: { budgetTokens: 0 }, ...templateArguments } : {};
    case 'disabled':
      return { reasoning: { budgetTokens: 0 }, ...templateArguments };
    case 'enabled':
      if (!isPresent(thinking.budget_tokens)) throw invalid('thinking.budget_tokens', 'thinking.budget_tokens is needed where thinking is enabled.');
      return { reasoning: { budgetTokens: thinking.budget_tokens }, ...templateArguments };
    case 'adaptive':
    case 'between_tools':
      return { reasoning: { budgetTokens: effortTokens ?? budgetOfEffort('high')! }, ...templateArguments };
    default:
      throw invalid('thinking.type', 'thinking.type is enabled, disabled or adaptive.');
  }
}
