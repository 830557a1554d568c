import { describe, expect, test } from 'vitest';
import { randomNumbers } from '../../../../test/support/random-text.ts';
import type { TokenLogprob } from '../../../contract/index.ts';
import { createAnswerText } from '../answer-text.ts';
import { createAnswerGuide } from './answer-guide.ts';
import type { ReaderOptions } from './answer-reader.ts';
import { HARMONY_HEADERS, reasoningPairs } from './reasoning-marks.ts';

/** Reads a text cut into pieces, one token each. */
function read(pieces: readonly string[], options: Omit<ReaderOptions, 'stops'> & { stops?: readonly string[]; topLogprobs?: number }) {
  const answer = createAnswerText({ push: (id) => pieces[id]!, flush: () => '' }, options.stops ?? [], options);
  let content = '';
  let reasoning = '';
  let stopString: string | undefined;
  const logprobs: TokenLogprob[] = [];
  const take = (out: ReturnType<typeof answer.push>): void => {
    for (const part of out.parts) {
      if (part.kind === 'text-delta') content += part.text;
      if (part.kind === 'text-delta') logprobs.push(...(part.logprobs ?? []));
      if (part.kind === 'reasoning-delta') reasoning += part.text;
    }
    stopString = out.stopString;
  };
  for (const [id, piece] of pieces.entries()) {
    take(answer.push(id, options.topLogprobs !== undefined ? { id, logprob: -id, bytes: new TextEncoder().encode(piece), top: [] } : undefined));
    if (stopString !== undefined) break;
  }
  if (stopString === undefined) take(answer.flush());
  return { content, reasoning, stopString, logprobs, reasoningTokens: answer.reasoningTokens };
}

/** The text as one piece, as characters, and cut at each place. */
const cutsOf = (text: string): string[][] => [[text], [...text], ...[...text].slice(1).map((_, at) => [text.slice(0, at + 1), text.slice(at + 1)])];

const think = { pairs: reasoningPairs(''), inside: null };

describe('reasoning parts', () => {
  test('marks split over tokens are found, and reasoning never is content', () => {
    for (const pieces of cutsOf('\n<think>\nHm, <b> </thin king\n</think>\n\nYes </think>.'))
      expect(read(pieces, { reasoning: think })).toMatchObject({ content: 'Yes </think>.', reasoning: 'Hm, <b> </thin king' });
    for (const pieces of cutsOf('Hm\n</think>Yes'))
      expect(read(pieces, { reasoning: { pairs: [], inside: reasoningPairs('')[0]! } })).toMatchObject({ content: 'Yes', reasoning: 'Hm' });
    for (const pieces of cutsOf('<thinking>a</thinking>b')) expect(read(pieces, { reasoning: think })).toMatchObject({ content: 'b', reasoning: 'a' });
  });

  test('a mark inside content is content, and an answer may end inside the part', () => {
    for (const pieces of cutsOf('Use <think> to think</think>'))
      expect(read(pieces, { reasoning: think })).toMatchObject({ content: 'Use <think> to think</think>', reasoning: '' });
    for (const pieces of cutsOf('<think>and so on</th')) expect(read(pieces, { reasoning: think })).toMatchObject({ content: '', reasoning: 'and so on</th' });
  });

  test('the channels of harmony are told apart, and none of their marks is text', () => {
    const harmony = reasoningPairs('<|channel|> <|message|>');
    const text =
      '<|channel|>analysis<|message|>Hm <|x|><|end|><|start|>assistant<|channel|>commentary<|message|>One moment.<|end|><|start|>assistant<|channel|>final<|message|>Yes <b>.';
    for (const pieces of cutsOf(text))
      expect(read(pieces, { reasoning: { pairs: harmony, inside: null, headers: HARMONY_HEADERS } })).toMatchObject({
        content: 'One moment.Yes <b>.',
        reasoning: 'Hm <|x|>',
      });
  });

  test('templates tell their marks', () => {
    expect(reasoningPairs('{{ x }}<longcat_think>')).toMatchObject([{ close: '</longcat_think>' }]);
    expect(reasoningPairs("content.split('</think>')[-1]")).toMatchObject([{ open: '<think>' }]);
    expect(reasoningPairs('<|channel>thought')).toMatchObject([{ close: '<channel|>' }]);
    expect(reasoningPairs('{{ x }}')).toEqual([]);
  });

  test('tokens of the part are counted, and the budget forces its end', () => {
    const it = read(['<think>', 'a', 'b', '</think>', 'c'], { reasoning: think });
    expect(it.reasoningTokens).toBe(4);
    const answer = createAnswerText({ push: (id) => ['<think>', 'a', '</think>', 'c'][id]!, flush: () => '' }, [], { reasoning: think });
    const guide = createAnswerGuide({
      matcher: null,
      budget: { tokens: 3, closing: () => [2, 9] },
      reasoning: () => ({ tokens: answer.reasoningTokens, open: answer.inReasoning }),
    });
    const forced: (number | null)[] = [];
    for (const drawn of [0, 1, 1, 1, 1, 3]) {
      const id = guide.forced() ?? drawn;
      forced.push(guide.forced());
      answer.push(id === 9 ? 3 : id);
      expect(guide.accept(id)).toBe(true);
    }
    expect(forced).toEqual([null, null, null, 2, 9, null]);
    expect(answer.inReasoning).toBe(false);
  });

  test('a part without a budget binds nothing until it is asked to end, and then ends once', () => {
    const answer = createAnswerText({ push: (id) => ['<think>', 'a', '</think>', 'c'][id]!, flush: () => '' }, [], { reasoning: think });
    const guide = createAnswerGuide({
      matcher: null,
      budget: { tokens: Number.POSITIVE_INFINITY, closing: () => [2] },
      reasoning: () => ({ tokens: answer.reasoningTokens, open: answer.inReasoning }),
    });
    expect([guide.endReasoning(), guide.binding]).toEqual([false, false]);
    const given: number[] = [];
    for (const [i, drawn] of [0, 1, 1, 1, 3].entries()) {
      const id = guide.forced() ?? drawn;
      given.push(id);
      answer.push(id);
      guide.accept(id);
      if (i === 1) expect([guide.endReasoning(), guide.endReasoning(), guide.binding]).toEqual([true, false, true]);
    }
    expect(given).toEqual([0, 1, 2, 1, 3]);
    expect(answer.inReasoning).toBe(false);
  });

  /** Tokens as an engine draws them: the forced one goes before the model's, and `askAt` ends the part when that token is drawn but not yet taken. */
  function answered(texts: readonly string[], drawn: readonly number[], { budget = Number.POSITIVE_INFINITY, askAt = -1 }) {
    const answer = createAnswerText({ push: (id) => texts[id]!, flush: () => '' }, [], { reasoning: think });
    const guide = createAnswerGuide({
      matcher: null,
      budget: { tokens: budget, closing: () => [1, 2, 3] },
      reasoning: () => ({ tokens: answer.reasoningTokens, open: answer.inReasoning }),
      onClosed: () => answer.closedForModel(),
    });
    let content = '';
    let reasoning = '';
    const take = ({ parts }: ReturnType<typeof answer.push>): void => {
      for (const part of parts) {
        if (part.kind === 'text-delta') content += part.text;
        if (part.kind === 'reasoning-delta') reasoning += part.text;
      }
    };
    for (let i = 0; i < drawn.length; ) {
      const forced = guide.forced();
      const id = forced ?? drawn[i]!;
      if (forced === null && i++ === askAt) expect(guide.endReasoning()).toBe(true);
      take(answer.push(id));
      guide.accept(id);
    }
    take(answer.flush());
    return { content, reasoning };
  }
  const TEXTS = ['<think>', '\n', '</think>', '\n\n', 'Hm', ' so', 'Yes', '</', 'think>', '.'];

  test('[serving V26] a mark that the model writes after the budget closed its part is swallowed once, whole or split, at once or later', () => {
    for (const [drawn, content] of [
      [[0, 4, 2, 3, 6, 9], 'Yes.'],
      [[0, 4, 7, 8, 3, 6, 9], 'Yes.'],
      [[0, 4, 6, 1, 2, 3, 6, 9], 'Yes\nYes.'],
      [[0, 4, 6, 9], 'Yes.'],
      // The second one was written on purpose.
      [[0, 4, 2, 6, 2, 9], 'Yes</think>.'],
    ] as const)
      expect(answered(TEXTS, drawn, { budget: 2 }), drawn.join(' ')).toEqual({ content, reasoning: 'Hm' });
  });

  test('[serving V26] a part that the model closes while it is asked to end is not closed again', () => {
    expect(answered(TEXTS, [0, 4, 2, 3, 6, 9], { askAt: 2 })).toEqual({ content: 'Yes.', reasoning: 'Hm' });
    expect(answered(TEXTS, [0, 4, 5, 6, 9], { askAt: 2 })).toEqual({ content: 'Yes.', reasoning: 'Hm so' });
  });
});

describe('log probabilities beside text', () => {
  const joined = (it: ReturnType<typeof read>) => it.logprobs.map(({ token }) => token).join('');
  const bytes = (it: ReturnType<typeof read>) => Buffer.from(it.logprobs.flatMap((one) => [...one.bytes])).toString();

  test('tokens join to the text: whole, with held beginnings of stop strings, cut by one, and behind reasoning', () => {
    for (const text of ['plain words', 'a STO STOP b', '<think>x</think>\n\nyes  no', '<thin', 'a S'])
      for (const pieces of cutsOf(text)) {
        const it = read(pieces, { reasoning: think, stops: ['STOP'], topLogprobs: 2 });
        const without = read(pieces, { reasoning: think, stops: ['STOP'] });
        expect(it.content).toBe(without.content);
        expect([joined(it), bytes(it)], JSON.stringify(pieces)).toEqual([it.content, it.content]);
        // Every token is told once, in its order.
        const ids = it.logprobs.map(({ id }) => id);
        expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
      }
  });

  test('parts of a character come with the token that completes it, each with its own bytes', () => {
    const parts = [[0xf0, 0x9f], [0x8c], [0x8d, 0x21]];
    const texts = ['', '', '🌍!'];
    const answer = createAnswerText({ push: (id) => texts[id]!, flush: () => '' }, [], { topLogprobs: 2 });
    const out = parts.flatMap((part, id) => [...answer.push(id, { id, logprob: 0, bytes: Uint8Array.from(part), top: [] }).parts]);
    expect(out).toMatchObject([
      {
        kind: 'text-delta',
        text: '🌍!',
        logprobs: [
          { token: '', bytes: parts[0] },
          { token: '', bytes: parts[1] },
          { token: '🌍!', bytes: parts[2] },
        ],
      },
    ]);
  });

  test('half a character at the end is told with its token', () => {
    const answer = createAnswerText({ push: () => '', flush: () => '\ufffd' }, [], { topLogprobs: 2 });
    answer.push(0, { id: 7, logprob: -1, bytes: Uint8Array.of(0xf0), top: [] });
    expect(answer.flush().parts).toMatchObject([{ text: '\ufffd', logprobs: [{ id: 7, token: '\ufffd', bytes: [0xf0] }] }]);
  });

  test('random cuts with stop strings never lose or double a character', () => {
    const random = randomNumbers(5);
    for (let run = 0; run < 300; run++) {
      const text = Array.from({ length: 30 }, () => 'ab<>/\n é🌍'.at(Math.floor(random() * 8))).join('') + (random() < 0.5 ? '<END>' : '');
      const pieces: string[] = [];
      for (let at = 0; at < text.length; ) {
        const size = 1 + Math.floor(random() * 5);
        pieces.push(text.slice(at, at + size));
        at += size;
      }
      const it = read(pieces, { stops: ['<END>'], topLogprobs: 2 });
      expect(it.content).toBe(text.replace('<END>', ''));
      expect(joined(it)).toBe(it.content);
    }
  });
});
