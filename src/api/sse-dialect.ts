import type { HearthError } from '../core/index.ts';
import { anthropicErrorBody, errorBody } from './errors.ts';

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

/** Named events with numbers; a failed stream ends with what its encoder says of it. */
export const responsesEvents = (failure: (error: HearthError) => readonly { readonly type: string }[]): SseDialect => {
  const data = (value: unknown, event?: string): string => `event: ${event}\ndata: ${JSON.stringify(value)}\n\n`;
  return {
    data,
    end: OPENAI_EVENTS.end,
    error: (error) =>
      failure(error)
        .map((each) => data(each, each.type))
        .join(''),
    heartbeat: comment,
  };
};

/** Every event has its name, and the last one is the end. Clients throw on any event before the first, so that only comments may stand there. */
export const ANTHROPIC_EVENTS: SseDialect = {
  data: (value, event) => `event: ${event}\ndata: ${JSON.stringify(value)}\n\n`,
  end: '',
  error: (error, requestId) => `event: error\ndata: ${JSON.stringify(anthropicErrorBody(error, requestId))}\n\n`,
  heartbeat: (text, begun) => (begun ? 'event: ping\ndata: {"type": "ping"}\n\n' : comment(text)),
};
