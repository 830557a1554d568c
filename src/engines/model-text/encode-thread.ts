import { parentPort, workerData } from 'node:worker_threads';
import { loadTokenizer } from '../../formats/index.ts';

/** One text to be tokenised. */
export interface EncodeWork {
  readonly work: number;
  readonly segments: readonly { readonly text: string; readonly special: boolean }[];
  readonly addBos: boolean;
}

export interface EncodeAnswer {
  readonly work: number;
  readonly ids?: Uint32Array;
  readonly problem?: string;
}

/** The program of the thread that tokenises long prompts, one after another. */
const tokenizer = loadTokenizer((workerData as { readonly directory: string }).directory);
const answer = (message: EncodeAnswer, transfer: ArrayBuffer[] = []): void => parentPort!.postMessage(message, transfer);

parentPort!.on('message', async ({ work, segments, addBos }: EncodeWork) => {
  try {
    const ids = Uint32Array.from((await tokenizer).encodeSegments(segments, { addBos }));
    answer({ work, ids }, [ids.buffer]);
  } catch (error) {
    answer({ work, problem: error instanceof Error ? error.message : String(error) });
  }
});
