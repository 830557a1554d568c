import type { Context } from '../context.ts';
import { formatSeconds } from '../render/size.ts';
import type { Answer, AnswerPart } from './answer.ts';

/** Writes the parts of an answer for people: reasoning under its own heading, or not at all. */
export function answerPrinter(context: Context, showReasoning: boolean): { part(part: AnswerPart): void; end(): void } {
  let last: AnswerPart['kind'] | null = null;
  let ended = '\n';
  const write = (text: string) => {
    context.output.text(text);
    if (text !== '') ended = text.at(-1)!;
  };
  return {
    part(part) {
      if (part.kind === 'reasoning') {
        if (!showReasoning) return;
        if (last !== 'reasoning') write('**[Reasoning]**\n\n');
      } else if (last === 'reasoning') write('\n\n---\n\n**[Answer]**\n\n');
      last = part.kind;
      write(part.text);
    },
    end() {
      if (ended !== '\n') write('\n');
    },
  };
}

/** `48 tokens, 182 tokens/s (prompt 31 tokens, first token after 0.4 s)`. */
export function speedLine(answer: Answer): string | null {
  if (answer.usage === null) return null;
  const rate = tokensPerSecond(answer);
  const speed = rate === null ? '' : `, ${rate < 10 ? rate.toFixed(1) : Math.round(rate)} tokens/s`;
  const first = answer.firstTokenMs === null ? '' : `, first token after ${formatSeconds(answer.firstTokenMs / 1000)}`;
  return `${count(answer.usage.completion_tokens)}${speed} (prompt ${count(answer.usage.prompt_tokens)}${first})`;
}

const count = (tokens: number): string => `${tokens} ${tokens === 1 ? 'token' : 'tokens'}`;

/** As the engine measured it, else from the stream. */
export function tokensPerSecond(answer: Answer): number | null {
  const measured = answer.hearth?.timings.tokens_per_s;
  if (measured !== undefined && measured > 0) return measured;
  const decodeMs = answer.totalMs - (answer.firstTokenMs ?? 0);
  const tokens = answer.usage?.completion_tokens ?? 0;
  return tokens > 1 && decodeMs > 0 ? ((tokens - 1) * 1000) / decodeMs : null;
}
