import type { ChatMessage } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';

/** The text of a message; an engine for text gets nothing else, so media are refused and never dropped. */
export const messageText = ({ content }: ChatMessage): string =>
  content
    .map((part) => {
      if (part.kind === 'text') return part.text;
      throw new HearthError('capability_mismatch', `The model takes text only, and a message holds ${part.kind === 'image' ? 'an image' : part.kind}.`);
    })
    .join('');

/** The text of a tool's result as templates that know nothing of failures get it. */
export const resultText = (message: ChatMessage): string => (message.failed === true ? `Error: ${messageText(message)}` : messageText(message));
