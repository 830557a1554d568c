import type { ChatMessage } from '../../contract/index.ts';
import { resultText } from './message-text.ts';

const NAMES = { system: 'System', user: 'Human', assistant: 'Assistant', tool: 'Tool' } as const;

/** Prompt of a model without a chat template: a single question as it is, a conversation as blocks (docs/spec/store.md §10). */
export function fallbackPrompt(messages: readonly ChatMessage[]): string {
  const blocks = messages.map((message) => ({ name: NAMES[message.role], text: resultText(message) }));
  const [only] = blocks;
  if (blocks.length === 1 && only?.name === 'Human') return only.text;
  return [...blocks.map((block) => `${block.name}: ${block.text}`), 'Assistant: '].join('\n\n');
}
