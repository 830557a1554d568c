import { createHmac, randomBytes } from 'node:crypto';
import type { AnswerPart } from '../../../contract/index.ts';
import type { Answer } from '../../answer.ts';
import { createCallIds } from '../answer-ids.ts';
import { type AnswerStep, answerSteps } from '../answer-steps.ts';

/** One thing of an answer in blocks: each is closed before the next one opens, and `index` is its place in the content. */
export type BlockStep =
  | Exclude<AnswerStep, { kind: 'part' }>
  | { readonly kind: 'open'; readonly index: number; readonly block: OpenBlock }
  | { readonly kind: 'delta'; readonly index: number; readonly text: string }
  /** `signature` of a thinking block. */
  | { readonly kind: 'close'; readonly index: number; readonly signature?: string };

export type OpenBlock = { readonly kind: 'text' } | { readonly kind: 'thinking' } | { readonly kind: 'tool'; readonly id: string; readonly name: string };

/** New with each start: signatures are opaque to clients, and any is taken back. */
const KEY = randomBytes(32);
export const signatureOf = (thinking: string): string => createHmac('sha256', KEY).update(thinking).digest('base64');

/**
 * The steps of an answer as blocks. Calls of an engine may run beside each other or beside text; a block may not, so that what belongs to a later one
 * waits until the open call has ended. `showThinking: false`: thinking blocks hold their signature alone.
 */
export async function* answerBlocks(answer: Pick<Answer, 'events'>, { showThinking }: { readonly showThinking: boolean }): AsyncGenerator<BlockStep, void> {
  const callId = createCallIds('toolu_');
  let open: (OpenBlock & { toolIndex?: number; thinking: string; signature?: string }) | null = null;
  let index = -1;
  let waiting: AnswerPart[] = [];

  function* begin(block: OpenBlock, toolIndex?: number): Generator<BlockStep> {
    yield* end();
    open = { ...block, thinking: '', ...(toolIndex === undefined ? {} : { toolIndex }) };
    index += 1;
    yield { kind: 'open', index, block };
  }
  function* end(): Generator<BlockStep> {
    if (open === null) return;
    const { kind, thinking, signature } = open;
    open = null;
    yield kind === 'thinking' ? { kind: 'close', index, signature: signature ?? signatureOf(thinking) } : { kind: 'close', index };
  }
  function* take(part: AnswerPart): Generator<BlockStep> {
    const inCall = open?.toolIndex;
    if (inCall !== undefined && !('toolIndex' in part && part.toolIndex === inCall && part.kind !== 'tool-start')) {
      waiting.push(part);
      return;
    }
    switch (part.kind) {
      case 'text-delta':
        if (open?.kind !== 'text') yield* begin({ kind: 'text' });
        yield { kind: 'delta', index, text: part.text };
        break;
      case 'reasoning-delta':
        if (open?.kind !== 'thinking') yield* begin({ kind: 'thinking' });
        open!.thinking += part.text;
        if (part.text !== '' && showThinking) yield { kind: 'delta', index, text: part.text };
        if (part.signature !== undefined) {
          open!.signature = part.signature;
          yield* end();
        }
        break;
      case 'tool-start':
        yield* begin({ kind: 'tool', id: callId(part.id), name: part.name }, part.toolIndex);
        break;
      case 'tool-delta':
        if (inCall !== undefined && part.argumentsJson !== '') yield { kind: 'delta', index, text: part.argumentsJson };
        break;
      case 'tool-end':
        if (inCall === undefined) break;
        yield* end();
        yield* resume();
    }
  }
  /** What waited for the end of a call; a call among it may make the rest wait again. */
  function* resume(): Generator<BlockStep> {
    const parts = waiting;
    waiting = [];
    for (const part of parts) yield* take(part);
  }

  for await (const step of answerSteps(answer, 1)) {
    if (step.kind === 'part') yield* take(step.part);
    else {
      if (step.kind === 'finish') {
        do {
          yield* end();
          yield* resume();
        } while (open !== null || waiting.length > 0);
      }
      yield step;
    }
  }
}
