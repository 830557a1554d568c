import { isJsonObject } from '../../../core/index.ts';
import type { ForeignText } from './score.ts';

/**
 * What is new in a request and was not written by its operator: what came after the last answer of the model, in the shapes of chat completions,
 * messages and responses; the prompt of a completion. Texts before that were looked at when they were new.
 */
export function foreignTexts(body: unknown): readonly ForeignText[] {
  if (!isJsonObject(body)) return [];
  const turns = [body['messages'], body['input']].find(Array.isArray) as readonly unknown[] | undefined;
  if (turns !== undefined) return newTurns(turns).flatMap(textsOfTurn);
  const { prompt, input } = body;
  return [prompt, input]
    .flatMap((value) => (typeof value === 'string' ? [value] : Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []))
    .map((text) => ({ from: 'user', text }));
}

function newTurns(turns: readonly unknown[]): readonly unknown[] {
  const last = turns.findLastIndex((turn) => isJsonObject(turn) && (turn['role'] === 'assistant' || turn['type'] === 'function_call'));
  return turns.slice(last + 1);
}

function textsOfTurn(turn: unknown): readonly ForeignText[] {
  if (typeof turn === 'string') return [{ from: 'user', text: turn }];
  if (!isJsonObject(turn)) return [];
  const { role, type, content, output } = turn;
  if (type === 'function_call_output') return textsOf(output, 'tool');
  if (role === 'tool' || role === 'function') return textsOf(content, 'tool');
  return role === 'user' ? textsOf(content, 'user') : [];
}

function textsOf(content: unknown, from: ForeignText['from']): readonly ForeignText[] {
  if (typeof content === 'string') return [{ from, text: content }];
  if (!Array.isArray(content)) return [];
  return content.flatMap((part): readonly ForeignText[] => {
    if (!isJsonObject(part)) return [];
    if (part['type'] === 'tool_result') return textsOf(part['content'], 'tool');
    return typeof part['text'] === 'string' ? [{ from, text: part['text'] }] : [];
  });
}
