import type { Readable } from 'node:stream';
import { HearthError } from '../../core/index.ts';
import { readAll } from './text-input.ts';

/** What is to be answered: one prompt, or a conversation at the terminal. */
export type PromptChoice = { readonly kind: 'single'; readonly prompt: string } | { readonly kind: 'chat' };

export interface PromptSources {
  readonly option: string | undefined;
  readonly words: readonly string[];
  readonly chat: boolean;
  readonly json: boolean;
  /** There are images or a recording: a prompt is not needed. */
  readonly media: boolean;
  readonly stdin: Readable;
  readonly stdinIsTerminal: boolean;
}

/** `--prompt`, else the words; `-` reads stdin and joins it with the rest; without a prompt piped stdin is the prompt, and a terminal means chat. */
export async function choosePrompt(sources: PromptSources): Promise<PromptChoice> {
  const words = sources.option === undefined ? sources.words : [sources.option];
  if (sources.media && sources.chat) throw new HearthError('invalid_argument', 'A chat takes no --image and no --audio; ask about them with a prompt.');
  const given = words.length > 0 || !sources.stdinIsTerminal || sources.media;
  if (sources.chat || !given) {
    if (sources.json) throw new HearthError('invalid_argument', 'A chat cannot be printed as one JSON document; give a prompt, or leave out --json.');
    return { kind: 'chat' };
  }
  // Who gives media need not say anything, and must not be waited for.
  const readsStdin = (words.length === 0 && !sources.media) || (sources.option === undefined && words.includes('-'));
  const rest = sources.option ?? words.filter((word, i) => !(word === '-' && i === words.indexOf('-'))).join(' ');
  const piped = readsStdin ? await readAll(sources.stdin) : '';
  const prompt = [piped, readsStdin ? rest : words.join(' ')].filter((text) => text !== '').join('\n\n');
  if (prompt.trim() === '' && !sources.media) throw new HearthError('invalid_value', 'The prompt is empty.');
  return { kind: 'single', prompt };
}
