import type { AnswerPart, InvalidToolCall } from '../../contract/index.ts';
import { type AnswerReader, createAnswerReader, type ReaderOptions, type ReaderOutput } from './answer/answer-reader.ts';
import { createLogprobQueue, type TokenScores } from './answer/logprob-queue.ts';

/** What the text of one answer is made with; formats' Detokenizer fits. */
export interface TokenToText {
  push(id: number): string;
  flush(): string;
}

export interface AnswerOutput {
  readonly parts: readonly AnswerPart[];
  /** The stop string that ended the answer. */
  readonly stopString?: string;
}

export interface AnswerText {
  /** What may be told after this token. With log probabilities each token brings its scores. */
  push(id: number, scores?: TokenScores): AnswerOutput;
  /** What is still held when the answer ends for another reason. */
  flush(): AnswerOutput;
  /** The reasoning part was closed for the model, which may still write its own mark: that is no content. */
  closedForModel(): void;
  /** The text is inside the reasoning part. */
  readonly inReasoning: boolean;
  /** Tokens of the reasoning part, its marks included. */
  readonly reasoningTokens: number;
  /** Tool calls that have begun. */
  readonly calls: number;
  readonly invalidToolCalls: readonly InvalidToolCall[];
}

/** Tokens → whole characters → parts of the answer (docs/spec/serving.md §3.1). */
export function createAnswerText(
  detokenizer: TokenToText,
  stops: readonly string[],
  options: Omit<ReaderOptions, 'stops'> & {
    /** Log probabilities beside the text, with so many of the likeliest tokens. */ readonly topLogprobs?: number;
  } = {},
): AnswerText {
  const reader = createAnswerReader({ ...options, stops });
  let reasoningTokens = 0;
  const { topLogprobs } = options;
  const queue = topLogprobs === undefined ? null : createLogprobQueue();

  const partsOf = (outputs: readonly ReaderOutput[]): AnswerPart[] =>
    joined(
      outputs.flatMap((output): AnswerPart[] => {
        if (output.kind !== 'text' && output.kind !== 'skip') return [output];
        if (queue === null) return output.kind === 'text' ? [{ kind: 'text-delta', text: output.text }] : [];
        const length = output.kind === 'text' ? output.text.length : output.length;
        const { text, logprobs } = queue.decide(length, output.kind === 'text');
        return text === '' ? [] : [{ kind: 'text-delta', text, logprobs }];
      }),
    );
  const told = ({ parts, stopString }: ReturnType<AnswerReader['push']>): AnswerOutput => ({
    parts: partsOf(parts),
    ...(stopString === undefined ? {} : { stopString }),
  });
  return {
    push(id, scores) {
      const text = detokenizer.push(id);
      if (scores !== undefined) queue?.add({ ...scores, top: scores.top.slice(0, topLogprobs) }, text);
      const before = reader.inReasoning;
      const out = told(reader.push(text));
      if (before || reader.inReasoning) reasoningTokens++;
      return out;
    },
    flush() {
      const ending = detokenizer.flush();
      queue?.complete(ending);
      const last = told(reader.push(ending));
      if (last.stopString !== undefined) return last;
      const rest = told(reader.flush());
      return { ...rest, parts: joined([...last.parts, ...rest.parts]) };
    },
    closedForModel: () => reader.closedForModel(),
    get inReasoning() {
      return reader.inReasoning;
    },
    get reasoningTokens() {
      return reasoningTokens;
    },
    get calls() {
      return reader.calls;
    },
    get invalidToolCalls() {
      return reader.invalidToolCalls;
    },
  };
}

/** Neighbours of one kind become one. */
function joined(parts: readonly AnswerPart[]): AnswerPart[] {
  const out: AnswerPart[] = [];
  for (const part of parts) {
    const last = out.at(-1);
    if (part.kind === 'text-delta' && last?.kind === 'text-delta')
      out[out.length - 1] = {
        kind: 'text-delta',
        text: last.text + part.text,
        ...(part.logprobs === undefined ? {} : { logprobs: [...(last.logprobs ?? []), ...part.logprobs] }),
      };
    else if (part.kind === 'reasoning-delta' && last?.kind === 'reasoning-delta')
      out[out.length - 1] = { kind: 'reasoning-delta', text: last.text + part.text };
    else out.push(part);
  }
  return out;
}
