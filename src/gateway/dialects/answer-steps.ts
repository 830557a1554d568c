import type { AnswerPart, GenerateEvent } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { type Answer, eventError } from '../answer.ts';

export type StartEvent = Extract<GenerateEvent, { kind: 'start' }>;
export type FinishEvent = Extract<GenerateEvent, { kind: 'finish' }>;
export type UsageEvent = Extract<GenerateEvent, { kind: 'usage' }>;

/** One step of an answer, for stream encoders and folds alike. */
export type AnswerStep =
  | StartEvent
  | { readonly kind: 'progress'; readonly doneTokens: number; readonly totalTokens: number }
  | { readonly kind: 'part'; readonly choice: number; readonly part: AnswerPart }
  /** `usage` on the last one of all choices. */
  | { readonly kind: 'finish'; readonly finish: FinishEvent; readonly usage: UsageEvent | null };

/**
 * The answer's events with the rules of answers applied: exactly one finish per choice, the last one held until the
 * counts are known, because they travel with it. Throws HearthError for an error and for an answer without its end.
 */
export async function* answerSteps(answer: Pick<Answer, 'events'>, choices: number): AsyncGenerator<AnswerStep, void> {
  const open = new Set(Array.from({ length: choices }, (_, choice) => choice));
  let held: FinishEvent | null = null;
  for await (const event of answer.events) {
    switch (event.kind) {
      case 'start':
        yield event;
        break;
      case 'prefill-progress':
        yield { kind: 'progress', doneTokens: event.doneTokens, totalTokens: event.totalTokens };
        break;
      case 'text-delta':
      case 'reasoning-delta':
        if (open.has(event.choice) && (event.text !== '' || (event.kind === 'reasoning-delta' && event.signature !== undefined)))
          yield { kind: 'part', choice: event.choice, part: event };
        break;
      case 'tool-start':
      case 'tool-delta':
      case 'tool-end':
        if (open.has(event.choice)) yield { kind: 'part', choice: event.choice, part: event };
        break;
      case 'finish':
        if (!open.delete(event.choice)) break;
        if (open.size === 0) held = event;
        else yield { kind: 'finish', finish: event, usage: null };
        break;
      case 'usage':
        if (!held) throw new HearthError('engine_protocol', 'The engine counted an answer that it had not finished.');
        yield { kind: 'finish', finish: held, usage: event };
        held = null;
        break;
      case 'error':
        throw eventError(event);
      case 'end':
        if (open.size > 0 || held) throw new HearthError('engine_protocol', 'The engine ended an answer without finishing or counting it.');
        return;
    }
  }
  throw new HearthError('engine_crashed', 'The engine ended the answer without finishing it.');
}
