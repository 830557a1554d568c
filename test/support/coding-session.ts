import { createDice } from './random-answers.ts';

/** Requests of a coding agent as they come over /v1/messages, one for each turn: each repeats all before it. */
export interface CodingSession {
  readonly system: readonly object[];
  readonly tools: readonly object[];
  /** What the next turn adds after the answer of the model. */
  next(turn: number, answer: { readonly content: readonly { readonly type: string; readonly id?: string }[] } | null): void;
  body(turn: number): Record<string, unknown>;
}

const WORDS = 'read file write test run build error line the function returns value of module import export type check'.split(' ');
const EPHEMERAL = { cache_control: { type: 'ephemeral' } };

/**
 * `instructions`: characters of the system prompt. As coding agents do: a block that changes with each request comes first, system and tools are
 * marked for the cache, the mark moves to the last message, results of tools come back in user turns with reminders beside them.
 */
export function createCodingSession(model: string, { instructions, maxTokens }: { readonly instructions: number; readonly maxTokens: number }): CodingSession {
  const dice = createDice(11);
  const prose = (characters: number): string => {
    let text = '';
    while (text.length < characters) text += `${WORDS[dice(WORDS.length)]} `;
    return text.slice(0, characters);
  };
  const tool = (name: string, properties: object) => ({
    name,
    description: prose(200),
    input_schema: { type: 'object', properties, additionalProperties: false },
  });
  const tools = [
    tool('Read', { path: { type: 'string', maxLength: 12 } }),
    tool('Edit', { path: { type: 'string', maxLength: 12 }, text: { type: 'string', maxLength: 20 } }),
    tool('Bash', { command: { type: 'string', maxLength: 20 } }),
  ];
  const guide = prose(instructions);
  const system = [
    { type: 'text', text: 'You are a coding agent.', ...EPHEMERAL },
    { type: 'text', text: guide, ...EPHEMERAL },
  ];
  const messages: { role: string; content: object[] }[] = [];
  return {
    system,
    tools,
    next(turn, answer) {
      if (answer !== null) messages.push({ role: 'assistant', content: [...answer.content] });
      const calls = (answer?.content ?? []).filter((block) => block.type === 'tool_use');
      const results = calls.map(({ id }, i) => ({ type: 'tool_result', tool_use_id: id, content: prose(80), ...(i % 5 === 4 ? { is_error: true } : {}) }));
      const text = { type: 'text', text: turn === 0 ? 'Mend the build.' : `<system-reminder>turn ${turn}</system-reminder>` };
      messages.push({ role: 'user', content: [...results, text] });
    },
    body: (turn) => ({
      model,
      max_tokens: maxTokens,
      system: [{ type: 'text', text: `x-anthropic-billing-header: cc_version=2.0; cch=${dice(1e9).toString(16)}${turn}` }, ...system],
      tools,
      metadata: { user_id: 'user_1' },
      // The mark for the cache moves to the end with each turn.
      messages: messages.map((message, i) => ({
        ...message,
        content: message.content.map((block, j) => (i === messages.length - 1 && j === message.content.length - 1 ? { ...block, ...EPHEMERAL } : block)),
      })),
    }),
  };
}
