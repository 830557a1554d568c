import { createInterface } from 'node:readline';
import type { Client } from '../../client/index.ts';
import type { Context } from '../context.ts';
import { renderError, toCliError } from '../errors.ts';
import { plain } from '../render/plain.ts';
import { answer, type GenerationSettings, type Turn } from './answer.ts';
import { answerPrinter, speedLine } from './print-answer.ts';

const EXIT_WORDS = ['exit', 'quit', 'q'];
export const INTERRUPTED = '[Generation interrupted by user]';

export interface ChatOptions {
  readonly settings: GenerationSettings;
  /** As the user typed it. */
  readonly modelName: string;
  readonly system: string | undefined;
  readonly showReasoning: boolean;
}

/** A conversation line by line. Ends, with nothing to complain about, at an exit word, at the end of input and at Ctrl-C on the prompt. */
export async function chat(context: Context, client: Client, options: ChatOptions): Promise<void> {
  const { output } = context;
  const history: Turn[] = options.system === undefined ? [] : [{ role: 'system', content: options.system }];
  let generating: AbortController | null = null;
  const lines = createInterface({
    input: context.stdin,
    output: context.terminal.stdin ? output.stdout : undefined,
    terminal: context.terminal.stdin && context.terminal.stdout,
  });
  const interrupt = () => {
    if (generating === null) lines.close();
    else generating.abort();
  };
  const typed = lines[Symbol.asyncIterator](); // listens from now on, so that no early line is lost
  const stopListening = context.onInterrupt(interrupt);
  lines.on('SIGINT', interrupt); // a terminal in raw mode delivers Ctrl-C here
  context.signal.addEventListener('abort', interrupt, { once: true });
  const prompt = () => {
    lines.setPrompt('You: ');
    if (context.terminal.stdin) lines.prompt();
    else output.text('You: ');
  };

  output.text(`Chatting with ${plain(options.modelName)}. ${EXIT_WORDS.join(', ')} or Ctrl-D ends.\n\n`);
  prompt();
  try {
    for await (const line of typed) {
      const text = line.trim();
      if (EXIT_WORDS.includes(text.toLowerCase())) return;
      if (text !== '') {
        generating = new AbortController();
        await turn(context, client, options, history, text, generating.signal);
        generating = null;
        if (context.signal.aborted) return;
      }
      prompt();
    }
    output.text('\n');
  } finally {
    stopListening();
    lines.close();
  }
}

async function turn(context: Context, client: Client, options: ChatOptions, history: Turn[], text: string, signal: AbortSignal): Promise<void> {
  const { output } = context;
  const printer = answerPrinter(context, options.showReasoning);
  history.push({ role: 'user', content: text });
  output.text('Assistant: ');
  let received = '';
  try {
    const reply = await answer(
      client,
      options.settings,
      history,
      (part) => {
        if (part.kind === 'text') received += part.text;
        printer.part(part);
      },
      signal,
    );
    printer.end();
    history.push({ role: 'assistant', content: reply.text });
    const speed = speedLine(reply);
    if (speed !== null && context.terminal.stderr) output.notice(speed);
  } catch (error) {
    if (signal.aborted) {
      output.text(`\n${INTERRUPTED}\n`);
      if (received === '') history.pop();
      else history.push({ role: 'assistant', content: received });
    } else {
      // Told once; the conversation goes on without this turn.
      history.pop();
      output.text('\n');
      output.stderr.write(renderError('run', toCliError(error)));
    }
  }
  output.text('\n');
}
