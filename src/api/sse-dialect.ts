import type { HearthError } from '../core/index.ts';
import { errorBody } from './errors.ts';

/** How one API writes its events (docs/spec/serving.md §2). */
export interface SseDialect {
  /** An event with its empty line. */
  data(value: unknown, event?: string): string;
  /** After the last event of a success. */
  readonly end: string;
  /** In place of the end. */
  error(error: HearthError, requestId: string): string;
  /** Between two events; `begun`: some event is out. */
  heartbeat(comment: string, begun: boolean): string;
}

const comment = (text: string): string => `: ${text.replaceAll(/[\r\n]/g, ' ')}\n\n`;

/** Data without names; the end is `[DONE]`. */
export const OPENAI_EVENTS: SseDialect = {
  data: (value) => `data: ${JSON.stringify(value)}\n\n`,
  end: 'data: [DONE]\n\n',
  error: (error, requestId) => `data: ${JSON.stringify(errorBody(error, requestId))}\n\n`,
  heartbeat: comment,
};
