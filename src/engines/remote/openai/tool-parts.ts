import type { GenerateEvent } from '../../../contract/index.ts';
import { isJsonObject } from '../../../core/index.ts';
import type { Faults } from '../faults.ts';

interface OpenCall {
  readonly toolIndex: number;
  readonly id: string;
  open: boolean;
  hasArguments: boolean;
}

/** The calls of one choice, from deltas or whole. */
export interface ToolParts {
  /** One entry of `tool_calls`. */
  push(entry: unknown, position: number): GenerateEvent[];
  /** Closes what is open. */
  close(): GenerateEvent[];
  readonly count: number;
}

/**
 * Calls as `tool_calls` of a delta or a message tell them: by index, or whole. A new id under a known index is another call, which servers
 * that send whole calls do; arguments may be an object in place of its text.
 */
export function createToolParts(choice: number, faults: Faults): ToolParts {
  const byIndex = new Map<number, OpenCall>();
  let count = 0;

  function end(call: OpenCall): GenerateEvent[] {
    if (!call.open) return [];
    call.open = false;
    const { toolIndex } = call;
    return [...(call.hasArguments ? [] : [{ kind: 'tool-delta', choice, toolIndex, argumentsJson: '{}' } as const]), { kind: 'tool-end', choice, toolIndex }];
  }

  const closeOthers = (): GenerateEvent[] => [...byIndex.values()].flatMap(end);

  return {
    get count() {
      return count;
    },
    close: closeOthers,
    push(entry, position) {
      if (!isJsonObject(entry)) throw faults.malformed('a tool call that is no object');
      const index = typeof entry['index'] === 'number' ? entry['index'] : position;
      const part = isJsonObject(entry['function']) ? entry['function'] : {};
      const { name, arguments: given } = part;
      const id = typeof entry['id'] === 'string' && entry['id'] !== '' ? entry['id'] : null;
      const events: GenerateEvent[] = [];
      let call = byIndex.get(index);
      if (call === undefined || (id !== null && id !== call.id && typeof name === 'string' && name !== '')) {
        if (typeof name !== 'string' || name === '') throw faults.malformed('a tool call without a name');
        events.push(...closeOthers());
        call = { toolIndex: count, id: id ?? `call_${count}`, open: true, hasArguments: false };
        count += 1;
        byIndex.set(index, call);
        events.push({ kind: 'tool-start', choice, toolIndex: call.toolIndex, id: call.id, name });
      }
      const argumentsJson = typeof given === 'string' ? given : isJsonObject(given) ? JSON.stringify(given) : '';
      if (given !== undefined && given !== null && argumentsJson === '' && given !== '') throw faults.malformed('arguments of a tool call that are no text');
      if (argumentsJson === '') return events;
      call.hasArguments = true;
      return [...events, { kind: 'tool-delta', choice, toolIndex: call.toolIndex, argumentsJson }];
    },
  };
}
