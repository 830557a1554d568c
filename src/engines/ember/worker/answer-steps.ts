import type { FinishReason } from '../../../contract/index.ts';
import type { Ember, StepOutput } from '../../../ember/index.ts';
import type { FromWorker } from '../../protocol/messages.ts';
import { stepText } from '../../protocol/step-text.ts';
import type { AnswerOutput, TokenScores } from '../../text/index.ts';
import type { Scores } from './scores.ts';
import { generatedTokens, type Sequence } from './sequence.ts';

export interface AnswerStepsOptions {
  readonly ember: Pick<Ember, 'logits'>;
  readonly stopTokens: ReadonlySet<number>;
  readonly scores?: Scores;
  readonly send: (message: FromWorker) => void;
  readonly counters: AnswerCounters;
  /** Leaves what was evaluated behind for others. */
  readonly remember: (sequence: Sequence) => void;
  /** The sequence needs its cells no more. */
  readonly leave: (sequence: Sequence) => void;
}

export interface AnswerCounters {
  promptTokensComputed: number;
  generatedTokens: number;
  draftedTokens: number;
  acceptedTokens: number;
}

/** A share of a step that was evaluated. */
export interface AnswerShare {
  readonly sequence: Sequence;
  /** Tokens that were evaluated, without the guesses. */
  readonly count: number;
  readonly guesses: readonly number[];
  /** null: the prompt goes on. */
  readonly output: StepOutput | null;
  /** Its first row of logits in the step. */
  readonly firstRow: number;
}

export interface AnswerSteps {
  /** Draws and tells the tokens that the step gives an answer, up to its end. Gives how many guesses were right. */
  advance(share: AnswerShare): Promise<number>;
}

export function createAnswerSteps(options: AnswerStepsOptions): AnswerSteps {
  const { ember, send, counters, remember, leave } = options;

  async function scoresOf(sequence: Sequence, id: number, summary: StepOutput, row: number): Promise<TokenScores | undefined> {
    const { raw } = summary;
    if (raw === undefined || options.scores === undefined) return undefined;
    const listed = raw.ids.includes(id) || summary.ids.includes(id);
    return options.scores(id, raw, summary, sequence.sampler.adjustments(), listed ? null : await ember.logits(row));
  }

  /** The next token of an answer: told, and perhaps the last. false: the answer has failed. */
  function accept(sequence: Sequence, id: number, scores: TokenScores | undefined): boolean {
    const { request, choice, guide } = sequence;
    sequence.sampler.accept(id);
    sequence.tokens.push(id);
    counters.generatedTokens++;
    request.completionTokens++;
    if (request.credit !== undefined) request.credit--;
    if (options.stopTokens.has(id)) {
      end(sequence, [id], 'stop', sequence.answer.flush());
      return true;
    }
    const out = sequence.answer.push(id, scores);
    if (guide?.accept(id) === false) {
      fail(sequence);
      return false;
    }
    const enough = generatedTokens(sequence) >= sequence.maxTokens;
    if (out.stopString !== undefined) end(sequence, [id], 'stop', out);
    else if (enough || guide?.finished === true) {
      const rest = sequence.answer.flush();
      end(sequence, [id], guide?.finished === true ? 'stop' : 'length', { ...rest, parts: [...out.parts, ...rest.parts] });
    } else send({ kind: 'step', sequence: request.id, choice, tokens: [id], ...stepText(out.parts) });
    return true;
  }

  /** No token of the vocabulary can go on in the grammar: the answer cannot be kept, the others go on. */
  function fail({ request }: Sequence): void {
    request.cancelled = true;
    send({ kind: 'error', sequence: request.id, code: 'invalid_value', message: 'No token of this model can continue the answer that the grammar asks for.' });
  }

  function end(sequence: Sequence, tokens: number[], reason: FinishReason, last: AnswerOutput): void {
    const { request, choice, answer } = sequence;
    send({ kind: 'step', sequence: request.id, choice, tokens, ...stepText(last.parts) });
    const stopped = last.stopString === undefined ? { reason } : { reason: 'stop' as const, stopString: last.stopString };
    // Calls take the place of `stop` only: a call that the limit cut off is none.
    const called = stopped.reason === 'stop' && answer.calls > 0 ? { ...stopped, reason: 'tool_calls' as const } : stopped;
    const { invalidToolCalls } = answer;
    send({ kind: 'finish', sequence: request.id, choice, ...called, ...(invalidToolCalls.length === 0 ? {} : { invalidToolCalls: [...invalidToolCalls] }) });
    request.reasoningTokens += answer.reasoningTokens;
    remember(sequence);
    leave(sequence);
    sequence.ended = true;
    request.openChoices--;
    if (request.openChoices > 0) return;
    request.adapter?.release();
    const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = request;
    send({ kind: 'done', sequence: request.id, promptTokens, cachedTokens, completionTokens, reasoningTokens });
  }

  return {
    async advance({ sequence, count, guesses, output, firstRow }) {
      const { request, choice } = sequence;
      const inPrompt = Math.max(0, Math.min(count, sequence.promptTokens - sequence.computed));
      counters.promptTokensComputed += inPrompt;
      sequence.computed += count;
      if (output === null) {
        if (choice === 0 && inPrompt > 0)
          send({ kind: 'prefill-progress', sequence: request.id, doneTokens: sequence.computed, totalTokens: sequence.promptTokens });
        return 0;
      }
      if (generatedTokens(sequence) === 0) remember(sequence);
      // Every token is drawn as without guesses: a guess that is the drawn token has its successor's row evaluated already.
      const rows = [...(output.earlier ?? []), output];
      let right = 0;
      for (const [i, summary] of rows.entries()) {
        const id = sequence.guide?.forced() ?? sequence.sampler.choose(summary) ?? sequence.sampler.chooseFromRow(await ember.logits(firstRow + i));
        const scores = await scoresOf(sequence, id, summary, firstRow + i);
        if (!accept(sequence, id, scores)) break;
        if (sequence.ended || id !== guesses[i]) break;
        sequence.computed++;
        right++;
      }
      counters.draftedTokens += guesses.length;
      counters.acceptedTokens += right;
      return right;
    },
  };
}
