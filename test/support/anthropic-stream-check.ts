/** The rules of docs/spec/serving.md §2.3 items 1 to 6 as a state machine: what clients of the API stumble over. */

export interface StreamEvent {
  readonly event: string | null;
  readonly data: Record<string, unknown>;
}

/** Named events of a stream; comments are left out. */
export function parseEvents(text: string): StreamEvent[] {
  return text
    .split('\n\n')
    .filter((frame) => frame !== '' && !frame.startsWith(':'))
    .map((frame) => {
      const lines = frame.split('\n');
      const field = (name: string): string | null => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? null;
      return { event: field('event'), data: JSON.parse(field('data') ?? 'null') as Record<string, unknown> };
    });
}

const EMPTY: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  text: { text: '' },
  thinking: { thinking: '', signature: '' },
  tool_use: { input: {} },
};
const DELTAS: Readonly<Record<string, readonly string[]>> = {
  text: ['text_delta'],
  thinking: ['thinking_delta', 'signature_delta'],
  tool_use: ['input_json_delta'],
};
const STOP_REASONS = ['end_turn', 'max_tokens', 'stop_sequence', 'tool_use', 'refusal', 'pause_turn'];

interface OpenBlock {
  readonly index: number;
  readonly type: string;
  json: string;
  signatures: number;
}

/** null for a stream that keeps all rules; else the first that it breaks. `ends`: a whole answer, or one that an error cut. */
export function violationOf(events: readonly StreamEvent[], ends: 'whole' | 'error' = 'whole'): string | null {
  let state: 'before' | 'message' | 'ending' | 'over' = 'before';
  let open: OpenBlock | null = null;
  let next = 0;
  let outputTokens = -1;
  let stopReason: unknown = null;
  const toolIds = new Set<unknown>();
  const toolStarts: string[] = [];
  for (const [place, { event, data }] of events.entries()) {
    const wrong = (what: string): string => `event ${place} (${event}): ${what}`;
    if (event === null) return wrong('it has no name');
    if (event !== data['type']) return wrong(`its data say the type ${String(data['type'])}`);
    if (state === 'over') return wrong('the stream had ended');
    if (state === 'before' && event !== 'message_start') return wrong('it stands before message_start');
    switch (event) {
      case 'ping':
        break;
      case 'message_start': {
        if (state !== 'before') return wrong('it is the second one');
        state = 'message';
        const { message } = data as { message: Record<string, unknown> };
        const usage = (message['usage'] ?? {}) as Record<string, unknown>;
        if (message['type'] !== 'message' || message['role'] !== 'assistant') return wrong('its message has another type or role');
        if (!/^msg_[A-Za-z0-9]{24}$/.test(String(message['id']))) return wrong('its message has no id');
        if (JSON.stringify(message['content']) !== '[]' || message['stop_reason'] !== null || message['stop_sequence'] !== null)
          return wrong('its message is not empty');
        if (typeof usage['input_tokens'] !== 'number' || typeof usage['output_tokens'] !== 'number') return wrong('its usage has no numbers');
        outputTokens = usage['output_tokens'];
        break;
      }
      case 'content_block_start': {
        if (state !== 'message') return wrong('the message was ending');
        if (open !== null) return wrong(`block ${open.index} is still open`);
        if (data['index'] !== next) return wrong(`its index is ${String(data['index'])}, not ${next}`);
        const block = data['content_block'] as Record<string, unknown>;
        const type = String(block['type']);
        if (EMPTY[type] === undefined) return wrong(`the block type ${type} is not known`);
        for (const [name, value] of Object.entries(EMPTY[type]))
          if (JSON.stringify(block[name]) !== JSON.stringify(value)) return wrong(`${name} of the block is not ${JSON.stringify(value)}`);
        if (type === 'tool_use') {
          if (!/^toolu_[A-Za-z0-9_-]{1,128}$/.test(String(block['id']))) return wrong(`its id is ${String(block['id'])}`);
          if (typeof block['name'] !== 'string' || block['name'] === '') return wrong('it names no tool');
          if (toolIds.has(block['id'])) return wrong('its id occurred before');
          toolIds.add(block['id']);
          toolStarts.push(block['name']);
        }
        open = { index: next, type, json: '', signatures: 0 };
        next += 1;
        break;
      }
      case 'content_block_delta': {
        if (open === null || data['index'] !== open.index) return wrong('its block is not open');
        const delta = data['delta'] as Record<string, unknown>;
        const type = String(delta['type']);
        if (!DELTAS[open.type]!.includes(type)) return wrong(`a block of the type ${open.type} has no ${type}`);
        const value = delta[type === 'input_json_delta' ? 'partial_json' : type.replace('_delta', '')];
        if (typeof value !== 'string') return wrong('it has no text');
        if (open.signatures > 0) return wrong('it follows the signature of its block');
        if (type === 'signature_delta') {
          if (value === '') return wrong('the signature is empty');
          open.signatures += 1;
        }
        open.json += type === 'input_json_delta' ? value : '';
        break;
      }
      case 'content_block_stop':
        if (open === null || data['index'] !== open.index) return wrong('its block is not open');
        if (open.type === 'thinking' && open.signatures !== 1) return wrong('the thinking block has no signature');
        open = null;
        break;
      case 'message_delta': {
        if (state !== 'message') return wrong('it is the second one');
        if (open !== null) return wrong(`block ${open.index} is still open`);
        state = 'ending';
        const { delta, usage } = data as { delta: Record<string, unknown>; usage?: Record<string, unknown> };
        stopReason = delta['stop_reason'];
        if (!STOP_REASONS.includes(String(stopReason))) return wrong(`its stop_reason is ${String(stopReason)}`);
        if ((stopReason === 'stop_sequence') !== (typeof delta['stop_sequence'] === 'string')) return wrong('stop_reason and stop_sequence disagree');
        if (stopReason === 'tool_use' && toolStarts.length === 0) return wrong('there was no call');
        if (typeof usage?.['output_tokens'] !== 'number' || usage['output_tokens'] < outputTokens) return wrong('its count of tokens is missing or smaller');
        break;
      }
      case 'message_stop':
        if (state !== 'ending') return wrong('there was no message_delta');
        state = 'over';
        break;
      case 'error': {
        const error = data['error'] as Record<string, unknown> | undefined;
        if (typeof error?.['type'] !== 'string' || typeof error['message'] !== 'string') return wrong('it is not in the shape of errors');
        if (ends !== 'error') return wrong('the answer should be whole');
        return place === events.length - 1 ? null : wrong('something follows it');
      }
      default:
        return wrong('the name is not known');
    }
  }
  if (ends === 'error') return 'there is no error event';
  return state === 'over' ? null : `the stream ended in the state ${state}`;
}
