import { Worker } from 'node:worker_threads';
import { HearthError, programUrl } from '../../core/index.ts';
import type { Tokenizer } from '../../formats/index.ts';
import type { EncodeAnswer, EncodeWork } from './encode-thread.ts';

/** What a prompt is before its ids: given ids, or text. */
export type PromptInput = { readonly tokens: readonly number[] } | EncodeInput;
type EncodeInput = Pick<EncodeWork, 'segments' | 'addBos'>;

export interface PromptEncoder extends AsyncDisposable {
  /** At once, or for a long text from a thread of its own. */
  encode(input: PromptInput): readonly number[] | Promise<readonly number[]>;
}

/** Characters whose ids take some 50 ms: a longer text would keep cancels, health and the other sequences waiting. */
export const LONG_CHARACTERS = 16_384;
/** The thread holds a tokenizer of its own, which is given back when no long prompt comes. */
const IDLE_MS = 60_000;

export function createPromptEncoder(directory: string, tokenizer: Pick<Tokenizer, 'encodeSegments'>): PromptEncoder {
  let thread: Worker | null = null;
  let idle: NodeJS.Timeout | undefined;
  let works = 0;
  const open = new Map<number, PromiseWithResolvers<readonly number[]>>();

  const end = async (reason: string): Promise<void> => {
    const ending = thread;
    thread = null;
    for (const { reject } of open.values()) reject(new HearthError('internal_error', reason));
    open.clear();
    ending?.removeAllListeners();
    await ending?.terminate();
  };
  const start = (): Worker => {
    const worker = new Worker(programUrl(import.meta.url, './encode-thread'), { workerData: { directory } });
    worker.unref();
    worker.on('message', ({ work, ids, problem }: EncodeAnswer) => {
      const asker = open.get(work);
      open.delete(work);
      if (ids === undefined) asker?.reject(new HearthError('internal_error', `The prompt could not be tokenised: ${problem}`));
      else asker?.resolve(Array.from(ids));
      if (open.size === 0) idle = setTimeout(() => void end('The tokenising thread was idle.'), IDLE_MS).unref();
    });
    worker.on('error', (error) => void end(`The tokenising thread failed: ${error.message}`));
    return worker;
  };

  return {
    encode(input) {
      if ('tokens' in input) return input.tokens;
      const { segments, addBos } = input;
      if (segments.reduce((sum, { text }) => sum + text.length, 0) <= LONG_CHARACTERS) return tokenizer.encodeSegments(segments, { addBos });
      clearTimeout(idle);
      thread ??= start();
      const work = works++;
      const answer = Promise.withResolvers<readonly number[]>();
      open.set(work, answer);
      thread.postMessage({ work, segments: segments.map(({ text, special }) => ({ text, special })), addBos } satisfies EncodeWork);
      return answer.promise;
    },
    [Symbol.asyncDispose]: () => end('The model was closed.'),
  };
}
